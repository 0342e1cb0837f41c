// Throws what nobody catches, to show what becomes of it. For `cargo xtask test --languages`.

export const handler = {
  describe() {
    return {
      name: "throws-js",
      version: "0.1.0",
      description: "Throws what nobody catches",
      triggers: [
        { origin: { tag: "provider", val: "github" }, kind: "issues.*", orderingKey: null },
      ],
      wants: { endpoints: [], secrets: [], config: [] },
    };
  },

  handle(event, _run) {
    throw new Error(`the shop said "no" to ${event.kind}`);
  },
};
