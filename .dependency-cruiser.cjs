/**
 * The arrows of docs/architecture.md, enforced. Each rule says why it is there; a rule that has to be broken
 * is changed here, with its reason, and in the picture.
 */

/** @param {string} name @param {string} comment @param {object} from @param {object} to */
function forbid(name, comment, from, to) {
  return { name, comment, severity: "error", from, to };
}

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    forbid(
      "no-circular",
      "A cycle cannot be read from either end, and its modules see each other half initialised.",
      { pathNot: "^src/rpc/generated/" },
      { circular: true },
    ),
    forbid(
      "contracts-import-nothing",
      "Ports, events and errors are what everything agrees on: whatever they imported, everything would depend on.",
      { path: "^src/contracts/" },
      { pathNot: "^src/contracts/" },
    ),
    forbid(
      "protocol-imports-contracts-only",
      "Frames and messages run on both engines: nothing of Node, nothing of one side may slip in. (What cuts a guest's texts is as pure.)",
      { path: "^src/protocol/" },
      { pathNot: ["^src/(protocol|contracts)/", "^src/lib/cut-text\\.ts$"] },
    ),
    forbid(
      "lib-has-no-domain",
      "The toolbox is used everywhere: a domain word in it would tie everything together. It may throw errors and name a text codec.",
      { path: "^src/lib/" },
      { path: "^src/", pathNot: "^src/(lib|contracts|protocol)/" },
    ),
    forbid(
      "machines-are-pure",
      "State charts hold no effects: they can then be replayed, drawn and property-tested without a host.",
      { path: "^src/machines/" },
      { pathNot: ["^src/(machines|contracts)/", "^src/lib/signals\\.ts$", "^node_modules/xstate/"] },
    ),
    forbid(
      "rpc-knows-ports-only",
      "Adapters translate wires to ports. What stands behind a port is bound in main.ts, so that a wire can be replaced alone.",
      { path: "^src/rpc/" },
      { path: "^src/(actors|machines|vmm|host|oci|workers|observe|cli|daemon|standalone)/" },
    ),
    forbid(
      "nobody-knows-rpc",
      "The inside must not know how it is called: a status code or a generated message deep in the host would tie it to one wire. (The composition root binds it.)",
      { path: "^src/(lib|actors|backends|machines|vmm|host|oci|workers|observe)/" },
      { path: "^src/rpc/" },
    ),
    forbid(
      "histories-know-no-actors",
      "Actors tell by contracts/history.ts, and the charts by xstate: a history that knew an actor would hold it after its end, and could not be off.",
      { path: "^src/observe/(history|inspection|charts|why|replay)/" },
      { path: "^src/(actors|backends|vmm|host|oci|workers|protocol|rpc)/" },
    ),
    forbid(
      "why-and-replay-run-anywhere",
      "The page explains and replays a journal without a daemon: nothing of Node, and no machine, may be drawn into it.",
      { path: "^src/observe/(why|replay)/" },
      {
        pathNot: [
          "^src/observe/(why|replay)/",
          "^src/charts/(entries|names|states)\\.ts$",
          "^src/contracts/",
        ],
        dependencyTypesNot: ["type-only"],
      },
    ),
    forbid(
      "actors-know-ports-only",
      "Actors and backends reach VMMs and the host through contracts/, or the simulated clock and the fakes of the model test could not take their place.",
      { path: "^src/(actors|backends)/" },
      { path: "^src/(vmm|host|oci|workers)/" },
    ),
    forbid(
      "vmm-drivers-stand-alone",
      "A driver is chosen by configuration: one that leaned on another, or on the actors that drive it, could not be left out. What every driver needs is in vmm/common.",
      { path: "^src/vmm/([^/]+)/" },
      { path: "^src/(vmm/[^/]+|actors|machines|host|oci|workers)/", pathNot: "^src/vmm/($1|common)/" },
    ),
    forbid(
      "tcg-is-a-room-of-its-own",
      "What is special to emulation is reached through two small ports (contracts/vm-forks.ts, vmm/qemu/accelerator.ts): only the driver that binds them may import it.",
      { path: "^src/", pathNot: "^src/vmm/qemu/(tcg/|driver\\.ts$)" },
      { path: "^src/vmm/qemu/tcg/", dependencyTypesNot: ["type-only"] },
    ),
    forbid(
      "koffi-in-workers-only",
      "System calls through koffi block, and setns changes the calling thread: on the main thread either would hurt every sandbox.",
      { path: "^src/", pathNot: "^src/workers/" },
      { path: "^node_modules/koffi/" },
    ),
    forbid(
      "workers-stand-alone",
      "A worker is a bundle and a thread of its own, 8 to 10 MB as it is: it must not draw the daemon in.",
      { path: "^src/workers/" },
      { path: "^src/(actors|machines|rpc|vmm|host|oci|observe|cli|daemon|standalone)/" },
    ),
    forbid(
      "workers-are-entries",
      "A worker file is started by piscina from its own bundle. Imported, it would bring koffi to the main thread; only its types may be used.",
      { path: "^src/", pathNot: "^src/workers/" },
      { path: "^src/workers/.+\\.worker\\.ts$", dependencyTypesNot: ["type-only"] },
    ),
    forbid(
      "only-the-top-wires",
      "daemon/ and standalone/ put the parts together, cli/ calls them: a part that imported them could not be put together in another way.",
      { path: "^src/", pathNot: "^src/(main\\.ts$|cli/|command-line/|daemon/|standalone/)" },
      { path: "^src/(main\\.ts$|cli/|daemon/|standalone/)" },
    ),
    forbid(
      "commands-are-leaves",
      "A command that something else imports is a library in the wrong place.",
      { path: "^src/", pathNot: "^src/(main\\.ts$|cli/|command-line/)" },
      { path: "^src/(main\\.ts$|cli/|command-line/)" },
    ),
    forbid(
      "the-daemon-needs-no-standalone",
      "A node runs the daemon alone; what only a standalone run needs must not be in its memory.",
      { path: "^src/daemon/" },
      { path: "^src/standalone/" },
    ),
    forbid(
      "product-without-tools",
      "What is shipped must not need tests, benchmarks, the lab or set-up: dist/ stands without them.",
      { path: "^src/" },
      { path: "^(test|lab|setup|bench|native|guest|keeper|fileserver)/" },
    ),
    forbid(
      "the-page-runs-in-a-browser",
      "The page is a bundle of its own: of the product it shares what is pure, of Node nothing.",
      { path: "^web/" },
      {
        pathNot: [
          "^web/",
          "^src/contracts/",
          "^src/charts/",
          "^src/lib/harmless\\.ts$",
          "^src/page/messages\\.ts$",
          "^src/observe/replay/",
          "^node_modules/(react|react-dom|@types/react|@types/react-dom|@tanstack|elkjs)/",
        ],
      },
    ),
    forbid(
      "nobody-needs-the-page",
      "What the page computes is for people to look at: the product must not depend on it. (Tests look at its pure parts.)",
      { pathNot: "^(web|test)/" },
      { path: "^web/" },
    ),
    forbid(
      "the-pages-server-knows-ports-only",
      "It passes on what a daemon tells; which daemon is bound in cli/.",
      { path: "^src/page/" },
      { path: "^src/", pathNot: "^src/(page|contracts|lib)/" },
    ),
    forbid(
      "the-demo-is-a-leaf",
      "Tests and benchmark share the lab's node, not the demo's scenes: a scene may change for the eye alone.",
      { pathNot: "^(lab/demo/|setup/demo\\.ts$|test/e2e/demo\\.test\\.ts$)" },
      { path: "^lab/demo/" },
    ),
    forbid(
      "quickjs-side",
      "Agent, keeper and file server run on QuickJS: of the product they share the protocol and its errors, of Node nothing.",
      { path: "^(guest/agent|keeper|fileserver|native/runtime)/" },
      {
        pathNot: [
          "^(guest/agent|keeper|fileserver|native/runtime)/",
          "^src/(protocol|contracts)/",
          "^native/.+\\.d\\.ts$",
          "^(std|os|sys)$",
        ],
      },
    ),
    forbid(
      "keeper-and-agent-apart",
      "They are programs that share native/runtime and the protocol; a crash of one must not be a change of the other.",
      { path: "^(keeper|fileserver|guest/agent)/" },
      { path: "^(keeper|fileserver|guest/agent)/", pathNot: "^$1/" },
    ),
    forbid(
      "setup-knows-contracts-only",
      "Set-up builds the product and must work when the product does not. (The demo is started by it, and shows the product; a package has the product's own commands and keys in its pages.)",
      {
        path: "^setup/",
        pathNot:
          "^setup/(package/.+|demo|test-(chaos|containerd|fidelity|critest|kvm|network|package|security|soak|workloads))\\.ts$",
      },
      { path: "^(src|lab|test|bench)/", pathNot: "^src/contracts/" },
    ),
  ],
  options: {
    doNotFollow: { path: ["node_modules", "^src/rpc/generated/"] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    moduleSystems: ["es6"],
    enhancedResolveOptions: {
      extensions: [".ts", ".tsx", ".mjs", ".js", ".d.ts"],
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default", "types"],
    },
  },
};
