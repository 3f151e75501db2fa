//! RSA moduli of 2,048 bits for tests, made once by a script as each comment says.

/// Two random primes of 1,024 bits.
pub(crate) const GOOD: &str = concat!(
    "bbedcc6b06ef7c7a9ec480577efca52f525396e6de7a59a125548612374d43146d976448cfc33667",
    "2fc9691e87719d4ff01a44c479c417f14a39bf9872c907e2e2524019193338952c2d4498aaa2d117",
    "8529c904486fb6a7044283ee2f67cc06d6a3c10bcc23c78bbc7fda5970de41fc33aeee01fbfa0b26",
    "8259a3a6cb7d1290da63793b0ab38e1f3b0c9a3430e2338ceb6a51e9cedd3ff34e008180317cbe81",
    "efe677b90055e5e8fa3a8433ee4f71e17d2d02568cf6884c0fd7ad16013b4c90560eccfa521a25da",
    "24cc6443c7ce2fa01cfdcaf41fc04baca0c6a2fe3d68fbaf8e79bab19fc04e8fec3d5a4a47cdff61",
    "1873416fcdd3fadfe7bb1c84ce7522cd",
);

/// A random prime and the next prime after it.
pub(crate) const NEXT_PRIME: &str = concat!(
    "f1521dde79d638130d306ec01463939e563ea05b51498783fe4d2a99854945ff672fc41dd55ff698",
    "b9cae83e87bed8b75c107bda5ffdf64af373b96b17aaded80ac3c7e9a6c09e28421ec6d7dc884259",
    "aa1f51e954ae80e0d49e0000543f91b1d561d99a85bcdadfbf7b3364de5a4e7a90c74fb3a06a7eaf",
    "cc8db21ec9fad03d4e8d571c6a67bb6a165162d568cbfa30eb5aabe3cad2fe3d1015daa3c2e3ff2f",
    "08ff51747f4aff091c462d24b750d1ea042965628b8540d84dfdd770ecb5528597bfc7c0c05a1a0c",
    "6e036424ded11cea7a5fefdd969dd45330efa6ad46dea17370b23b78d5380f6b540cacb79b54cdf7",
    "95e4b3925846caecdd88ed7b4ff63a09",
);

/// Primes whose difference lets Fermat's method succeed in its 61st round.
pub(crate) const CLOSE_PRIMES: &str = concat!(
    "f1521dde79d638130d306ec01463939e563ea05b51498783fe4d2a99854945ff672fc41dd55ff698",
    "b9cae83e87bed8b75c107bda5ffdf64af373b96b17aadeed0077c33af542602f822c6f0d342518f8",
    "9fc3ca7a32756cce92f0594a8d9474aba040b40e25ba00778c3d2c16d48e66a7aa0858fedfc76fc1",
    "32e47e8d11368775b01e64f410bfa5ebd7a023eae0527c02f0239e00ae512cad8d919505bb8680e0",
    "e1fad26906dacf29a67a5064a03eb0acbf6f96052062e1965ca7c702d6202db7c6f39f4f346a958c",
    "a7f4926fee0e7a5d4814f4b1d65aa458c9530764f5f6453991dc9c42cdaf405d0c0979ead9ba0c63",
    "d4dca82ad60ffe752e6744a0cda2f33d",
);

/// Primes just far enough apart that Fermat's method needs 301 rounds.
pub(crate) const DISTANT_PRIMES: &str = concat!(
    "f1521dde79d638130d306ec01463939e563ea05b51498783fe4d2a99854945ff672fc41dd55ff698",
    "b9cae83e87bed8b75c107bda5ffdf64af373b96b17aadf06e8d76f6d68c950327b52dd4ce096dcc9",
    "1f6700d2df1f4f988a4c91f5400e6f3f277a8c0335d95ddfa03abe593196214c5cb187f10df17147",
    "ac7cf0d1cb9e2c6d4d6820ba066e596e6b0491eb690acf384d55d70cead0bf9ff6723fa8a09e43c4",
    "dd1564e94f9dd656a4de17686b75b6c0e4dd7f7b219254a848c402a01d338d721802ffe86db0c9c2",
    "d35019652dfa4273b81a6a058a937bc340a336679ded2fbdec6f5803ee14f6c2110ab13342ab74df",
    "97117fc4a0bdcbccf3497f67aa98e8f3",
);

/// Two primes of the form `k·M + (65537^a mod M)`, M the product of the first 126 primes: what the
/// flawed generator of CVE-2017-15361 makes for 2,048-bit keys.
pub(crate) const ROCA: &str = concat!(
    "d155149d54af5abf265b22a54aac77cd05e64e493f28219f8222b8a7c83153446d3d48c647998b32",
    "e1d1e618382d09f7d18234407e520b5b484b86f3d4763fbf935ca9161835ba1429bb2a4130fb08da",
    "3f85b685ee434eab92e7fc72be1240b449343e8b5cffce5d21238e7ed08cabbaebaca9b3e7b79987",
    "ce0214b503dfb9ab17f16c6c7a115dcda2c469580d8e7709be492c5eae41d0940496c387dace7f96",
    "b5a6e35b4b71acf6889b1cf598830e3fe2d6d50861a9794f6e68c973e67d0bea8f657b4cc4a7f43d",
    "60a5d0d0d85e0fb3f1933d8f48b790deb0a4fb8c453a2d0f2fd5e3fb9925c17509511042ebc3f758",
    "c6b47a9b8b75aa530492279177e1bc3b",
);

/// 997 times a prime.
pub(crate) const SMALL_FACTOR: &str = concat!(
    "c299a731d70c9900ed42510fd3b5dad0d6252cbcfcb3030e8ca0ab8cfa700e20633636047929854c",
    "32a5e683f3fccf164251b8b6b2d64670b60953d30df87089676e857b5cb1079c5ecd1a914ef4d8de",
    "f44d82b808ee10a57e30f778ee1ff123a028d8fb2dc701eb7d397b8539a91b7528ccafc3efda5b48",
    "743c9ee7fab5d875668c359b51698770151a07b0e38489a49e91cc75c3e8fac18bcc089b373621b6",
    "fecf9a7cb62107ec8803ac7006d5cffb57c0e3d629d06583f69e3c512b0ed9ce20e52d079b3a3e37",
    "e7dcd92290f7dd08bc3b6637d3469ac9fab6b4ad7fad7691fec01abeef524c5cebb0874df7e17ee2",
    "c18199afb1ee6498c248aef3a90a0945",
);
