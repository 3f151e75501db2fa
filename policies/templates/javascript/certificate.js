// Only names of some domains are certified. This policy has something against certificates or nothing;
// others say what they look like.

const SCHEMA = {
  type: "object",
  properties: { domains: { type: "array", items: { type: "string" }, minItems: 1 } },
  required: ["domains"],
  additionalProperties: false,
};

let domains = [];

const has = (name) => domains.some((domain) => name === domain || name.endsWith(`.${domain}`));

export const certificate = {
  /** What the policy is. */
  describe() {
    return {
      name: "@name@",
      version: "0.1.0",
      summary: "@summary@",
      settingsSchema: JSON.stringify(SCHEMA),
    };
  },

  /**
   * Takes the settings of the binding. Called once; every evaluation begins with what it leaves. What is
   * thrown is a `settings-error` of the contract.
   */
  configure(text) {
    const settings = JSON.parse(text);
    for (const key of Object.keys(settings)) {
      if (!(key in SCHEMA.properties)) {
        throw { path: key, message: "there is no such setting" };
      }
    }
    const list = settings.domains;
    if (!Array.isArray(list) || list.length === 0 || !list.every((one) => typeof one === "string")) {
      throw { path: "domains", message: "expected a list of domains" };
    }
    domains = list;
  },

  /** Decides about one certificate. */
  evaluate({ names }) {
    const foreign = names.find(({ kind, value }) => kind !== "dns" || !has(value));
    if (foreign === undefined) {
      return { tag: "no-objection" };
    }
    return {
      tag: "deny",
      val: {
        code: "name-not-allowed",
        message: `${foreign.value} is not certified here`,
        audit: "no domain of the settings has it",
      },
    };
  },
};
