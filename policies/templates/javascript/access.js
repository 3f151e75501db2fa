// Some secrets are frozen: they can be read and not changed. One denial denies, so this takes away from
// what other policies allow.

const SCHEMA = {
  type: "object",
  properties: {
    frozen: { type: "array", items: { type: "string" } },
    except: { type: "array", items: { type: "string" } },
  },
  required: ["frozen"],
  additionalProperties: false,
};

let frozen = [];
let except = [];

/** Patterns, in which `*` stands for any characters. What is thrown is a `settings-error` of the contract. */
function patterns(settings, key) {
  const list = settings[key] ?? [];
  if (!Array.isArray(list) || !list.every((one) => typeof one === "string")) {
    throw { path: key, message: "expected a list of patterns" };
  }
  const quoted = (text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  return list.map((one) => new RegExp(`^${one.split("*").map(quoted).join(".*")}$`, "s"));
}

const matches = (list, text) => list.some((pattern) => pattern.test(text));

export const access = {
  /** What the policy is. */
  describe() {
    return {
      name: "@name@",
      version: "0.1.0",
      summary: "@summary@",
      settingsSchema: JSON.stringify(SCHEMA),
    };
  },

  /** Takes the settings of the binding. Called once; every evaluation begins with what it leaves. */
  configure(text) {
    const settings = JSON.parse(text);
    for (const key of Object.keys(settings)) {
      if (!(key in SCHEMA.properties)) {
        throw { path: key, message: "there is no such setting" };
      }
    }
    if (settings.frozen === undefined) {
      throw { path: "frozen", message: "this setting is missing" };
    }
    frozen = patterns(settings, "frozen");
    except = patterns(settings, "except");
  },

  /** Decides about one request. */
  evaluate({ identity, operation, resource }) {
    const reads = operation === "secrets.read" || operation === "secrets.list";
    if (reads || matches(except, identity) || !matches(frozen, resource)) {
      return { tag: "allow", val: { obligations: [] } };
    }
    return {
      tag: "deny",
      val: {
        code: "frozen",
        message: "this secret is frozen: it can be read and not changed",
        audit: `${operation} on ${resource}`,
      },
    };
  },
};
