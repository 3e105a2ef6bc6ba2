import { spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync } from "node:fs"
import { join } from "node:path"

/** Starts the installed package, asks whether it is ready, and stops it. */
const [folder] = process.argv.slice(2)
for (const part of ["docs", "deploy"]) {
  const packed = readdirSync(join(folder, "node_modules", "redcar", part))
  for (const file of readdirSync(new URL(`../${part}`, import.meta.url)))
    if (!packed.includes(file)) throw new Error(`${part}/${file} is not in the package`)
}
const bin = join(folder, "node_modules", ".bin", "redcar")
const hub = spawn(bin, ["serve", "--port", "0", "--data", join(folder, "data"), "--log-format", "json"], {
  stdio: ["ignore", "pipe", "inherit"],
})
let text = ""
const address = await new Promise((resolve, reject) => {
  hub.stdout.on("data", (chunk) => {
    text += chunk
    const found = /"address":"([^"]+)"/.exec(text)?.[1]
    if (found) resolve(found)
  })
  hub.on("exit", (code) => reject(new Error(`ended with ${code}: ${text}`)))
})
const answer = await fetch(`${address}/readyz`)
if (answer.status !== 200) throw new Error(`/readyz answered ${answer.status}`)
hub.removeAllListeners("exit")
hub.kill("SIGTERM")
const [code] = await once(hub, "exit")
if (code !== 0) throw new Error(`it stopped with ${code}`)
