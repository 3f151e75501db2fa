// What the contract's absent fields and 64-bit numbers are in JavaScript, as the tutorial tells it. The first
// label of the first name says what is tried.

import { write } from "chancery:policy/log@0.9.0";

const answers = {
  // An absent field is there, and null.
  absent: ({ validitySeconds, identity, profile }) =>
    validitySeconds === null && identity === null && profile === null ? 60 : 0,
  // A 64-bit number is an ordinary number, with which one calculates.
  half: ({ validitySeconds }) => validitySeconds / 2,
  fraction: () => 86400.7,
  bigint: () => 86400n,
  text: () => "86400",
  negative: () => -1,
  "too-large": () => 2 ** 70,
  "not-a-number": () => NaN,
  // What nobody asked for is no number either.
  kept: ({ validitySeconds }) => validitySeconds,
};

export const certificate = {
  describe() {
    return { name: "types", version: "0.1.0", summary: "What types are", settingsSchema: "{}" };
  },

  configure(_settings) {},

  evaluate(request) {
    const what = request.names[0].value.split(".")[0];
    write("info", "asked", [{ name: "validity", value: typeof request.validitySeconds }]);
    return {
      tag: "issue",
      // `issuer` is left out, which says what null says.
      val: {
        subject: [],
        names: request.names,
        keyUsages: ["digital-signature"],
        extendedKeyUsages: ["server-auth"],
        validitySeconds: answers[what](request),
        extensions: [],
        profile: "tls-server",
        properties: [],
      },
    };
  },
};
