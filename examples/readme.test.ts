import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, expect, test } from "vitest"

const root = fileURLToPath(new URL("..", import.meta.url))
const readme = readFileSync(join(root, "README.md"), "utf8")
const directory = mkdtempSync(join(tmpdir(), "redcar-readme-"))
const running: ChildProcess[] = []

afterAll(async () => {
  for (const child of running) {
    const exited = once(child, "exit")
    child.kill("SIGTERM")
    await exited
  }
  rmSync(directory, { recursive: true })
})

/** Starts a program; answers what `until` finds in what it prints. */
async function start(args: readonly string[], until: RegExp): Promise<string> {
  const child = spawn(process.execPath, args, {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  })
  running.push(child)
  let output = ""
  return new Promise((resolve, reject) => {
    child.stdout.on("data", (chunk) => {
      output += chunk
      const match = until.exec(output)?.[1]
      if (match !== undefined) resolve(match)
    })
    child.once("exit", () => reject(new Error(output)))
  })
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  return String(port)
}

/** The command and the output of each `$ npx redcar …` in the README. */
function shown(): readonly { readonly command: string; readonly output: string }[] {
  const blocks = [...readme.matchAll(/```console\n([\s\S]*?)```/g)].map(([, block]) => block!)
  return blocks
    .flatMap((block) => block.split(/^\$ /m).slice(1))
    .map((text) => ({ command: text.slice(0, text.indexOf("\n")), output: text.slice(text.indexOf("\n") + 1).trim() }))
}

/** What differs from run to run. */
function plain(output: string): string {
  return output
    .trim()
    .replace(/whsec_\S+/g, "whsec_…")
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "<id>")
    .replace(/at [0-9a-z]{11}\b/g, "at <cursor>")
}

function words(command: string): readonly string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare!)
}

test("the README's first steps work, and print what it shows", async () => {
  const hub = await start(
    ["bin/redcar.js", "serve", "--port", "0", "--data", directory, "--log-format", "json"],
    /"address":"([^"]+)"/,
  )
  const env = { ...process.env, REDCAR_URL: hub, REDCAR_DATA: directory, NO_COLOR: "1" }
  const [create, trigger, receive, publish] = shown()
  expect(receive!.command).toMatch(/^npx node examples\/receiver\.ts whsec_/)
  const redcar = async (command: string) => {
    const [npx, name, ...args] = words(command)
    expect([npx, name]).toEqual(["npx", "redcar"])
    return (await promisify(execFile)(process.execPath, ["bin/redcar.js", ...args], { cwd: root, env })).stdout
  }

  const port = await freePort()
  const created = await redcar(create!.command.replace("9001", port))
  expect(plain(created)).toBe(plain(create!.output))
  expect(plain(await redcar(trigger!.command))).toBe(plain(trigger!.output))
  const secret = /whsec_\S+/.exec(created)![0]
  const receiver = spawn(process.execPath, ["examples/receiver.ts", secret], {
    cwd: root,
    env: { ...process.env, PORT: port },
  })
  running.push(receiver)
  let received = ""
  receiver.stdout.on("data", (chunk) => {
    received += chunk
  })
  await once(receiver.stdout, "data")
  expect(plain(await redcar(publish!.command))).toBe(plain(publish!.output))
  const line = readme.match(/^order\.paid .*$/m)![0]
  await expect.poll(() => plain(received), { timeout: 10_000 }).toContain(plain(line))
})
