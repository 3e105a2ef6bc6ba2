#!/usr/bin/env node
// Plain JavaScript that Node 12 still reads, so that an old Node gets a sentence and not a stack trace.

const needed = [22, 18]
const bin = new URL("./", import.meta.url)

function isNew(version) {
  const parts = version.split(".").map(Number)
  return parts[0] > needed[0] || (parts[0] === needed[0] && parts[1] >= needed[1])
}

/** A checkout brings a Node of its own as a dev dependency: run there. */
function runThrough(node, childProcess) {
  const child = childProcess.spawn(node, process.argv.slice(1), { stdio: "inherit" })
  // The hub takes signals that come together for one, so it does no harm that Ctrl-C reaches it twice.
  const pass = (signal) => {
    child.kill(signal)
  }
  process.on("SIGINT", pass)
  process.on("SIGTERM", pass)
  process.on("SIGHUP", pass)
  child.on("exit", (code, signal) => {
    process.exitCode = code === null ? 128 + ({ SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }[signal] || 0) : code
  })
}

function tooOld() {
  console.error(`Redcar needs Node ${needed.join(".")} or newer; this is Node ${process.versions.node}.`)
  console.error("Get one from https://nodejs.org, or, in a checkout of Redcar, run `npm ci` and try again.")
  process.exitCode = 1
}

function start(fs, nodeModule) {
  if (nodeModule.enableCompileCache) nodeModule.enableCompileCache()
  // A checkout runs its source; the package holds only what was built of it.
  const source = new URL("../src/cli/main.ts", bin)
  const main = fs.existsSync(source) ? source : new URL("../dist/cli/main.js", bin)
  return import(main.href).then((cli) => cli.start())
}

if (isNew(process.versions.node)) {
  Promise.all([import("node:fs"), import("node:module")]).then((modules) => start(modules[0], modules[1]))
} else {
  Promise.all([import("node:fs"), import("node:child_process"), import("node:url")]).then((modules) => {
    const own = modules[2].fileURLToPath(new URL("../node_modules/node/bin/node", bin))
    if (modules[0].existsSync(own)) runThrough(own, modules[1])
    else tooOld()
  }, tooOld)
}
