// Gets a certificate with npm's acme-client by http-01, and writes chain.pem and key.pem.
// Usage: node acme-client.js DIRECTORY ADDRESS PORT NAME... (in the folder for the files; NODE_EXTRA_CA_CERTS has
// the root, ACME_CLIENT the folder of the package)
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const acme = require(process.env.ACME_CLIENT);

async function main([directoryUrl, address, port, ...names]) {
    const answers = new Map();
    const server = http.createServer((request, response) => {
        const answer = answers.get(request.url);
        response.writeHead(answer ? 200 : 404).end(answer);
    });
    await new Promise((resolve) => server.listen(Number(port), address, resolve));
    const path = (challenge) => `/.well-known/acme-challenge/${challenge.token}`;
    const client = new acme.Client({ directoryUrl, accountKey: await acme.crypto.createPrivateEcdsaKey() });
    const [key, csr] = await acme.crypto.createCsr({ commonName: names[0], altNames: names });
    const chain = await client.auto({
        csr,
        email: 'admin@example.com',
        termsOfServiceAgreed: true,
        challengePriority: ['http-01'],
        // It would look at port 80.
        skipChallengeVerification: true,
        challengeCreateFn: async (_, challenge, authorization) => {
            answers.set(path(challenge), authorization);
        },
        challengeRemoveFn: async (_, challenge) => {
            answers.delete(path(challenge));
        },
    });
    server.close();
    fs.writeFileSync('chain.pem', chain);
    fs.writeFileSync('key.pem', key);
}

main(process.argv.slice(2)).catch((error) => {
    console.error(error);
    process.exit(1);
});
