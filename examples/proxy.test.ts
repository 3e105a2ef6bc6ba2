import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { agrees, freePort, Machine, pageText, shownIn } from "./page.fixture.ts"

/** Where a program is; undefined where it is nowhere. */
function found(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin"]
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
}

const deployed = (name: string) => readFileSync(new URL(`../deploy/${name}`, import.meta.url), "utf8")

/** A proxy's program, and what runs it on a port with a certificate that lies in a folder. */
interface Proxy {
  readonly name: string
  readonly program: string | undefined
  /** Writes the configuration, checks it, and answers the command that runs it. */
  configure(folder: string, port: string, hub: string): readonly string[]
}

const nginx: Proxy = {
  name: "nginx",
  program: found("nginx"),
  configure(folder, port, hub) {
    const site = deployed("nginx.conf")
      .replace("127.0.0.1:9000", hub)
      .replace("listen 443", `listen 127.0.0.1:${port}`)
      .replaceAll("/etc/ssl/hub.example.com", join(folder, "hub"))
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (name) => `${name}_temp_path ${join(folder, name)};`,
    )
    const file = join(folder, "nginx.conf")
    const log = join(folder, "error.log")
    writeFileSync(
      file,
      `daemon off; pid ${join(folder, "pid")}; error_log ${log}; events {} http { access_log off; ${paths.join(" ")} ${site} }`,
    )
    const args = ["-c", file, "-e", log]
    execFileSync(nginx.program!, ["-t", ...args], { stdio: "pipe" })
    return args
  },
}

const caddy: Proxy = {
  name: "caddy",
  program: found("caddy"),
  configure(folder, port, hub) {
    const site = deployed("Caddyfile")
      .replace("127.0.0.1:9000", hub)
      .replace(
        "hub.example.com {",
        `hub.example.com:${port} {\n\ttls ${join(folder, "hub.pem")} ${join(folder, "hub.key")}`,
      )
    const file = join(folder, "Caddyfile")
    writeFileSync(file, `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${site}`)
    const args = ["--config", file, "--adapter", "caddyfile"]
    const env = { ...process.env, HOME: folder }
    execFileSync(caddy.program!, ["validate", ...args], { stdio: "pipe", env })
    return ["run", ...args]
  },
}

let machine: Machine
beforeAll(async () => {
  machine = await Machine.start()
}, 60_000)
afterAll(() => machine.stop())

describe.each([nginx, caddy])("deploy/ behind $name", (proxy) => {
  const { name, program } = proxy
  let folder: string
  let port: string
  let running: ChildProcess | undefined
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "redcar-proxy-"))
    mkdirSync(join(folder, "data"))
    port = await freePort()
  })
  afterEach(async () => {
    if (running !== undefined && running.exitCode === null) {
      running.kill("SIGTERM")
      await once(running, "exit")
    }
    rmSync(folder, { recursive: true, force: true })
  })

  async function start(): Promise<void> {
    execFileSync(
      "openssl",
      [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
        ...["-subj", "/CN=hub.example.com", "-addext", "subjectAltName=DNS:hub.example.com,DNS:localhost"],
        ...["-keyout", join(folder, "hub.key"), "-out", join(folder, "hub.pem")],
      ],
      { stdio: "ignore" },
    )
    const args = proxy.configure(folder, port, machine.url.slice("http://".length))
    running = spawn(program!, args, { stdio: "ignore", env: { ...process.env, HOME: folder } })
    await expect.poll(() => curl("/readyz"), { timeout: 20_000, interval: 100 }).toContain('"ready":true')
  }

  /** What a client that trusts the certificate is answered. */
  function curl(path: string, ...args: readonly string[]): Promise<string> {
    const trust = `--cacert ${join(folder, "hub.pem")} --connect-to hub.example.com:443:127.0.0.1:${port}`
    const more = args.map((arg) => `'${arg}'`).join(" ")
    return machine.run(
      `curl -sS --max-time 20 ${trust} -H "Authorization: Bearer $KEY" https://hub.example.com${path} ${more}`,
    )
  }

  const json = "Content-Type: application/cloudevents+json"
  const event = (id: string, data = "") =>
    `{"specversion": "1.0", "id": "${id}", "source": "/${name}", "type": "t", "data": "${data}"}`

  test.skipIf(program === undefined)(
    "publishes, streams and uploads go through (skipped where it is not installed)",
    async () => {
      await start()
      expect(await curl("/v1/topics/orders/events", "-H", json, "-d", event("1"))).toContain('"cursor"')
      expect(await curl("/metrics")).toContain("redcar_build_info")
      const lines = Array.from({ length: 20_000 }, (_, i) => event(`line-${i}`, "x".repeat(400))).join("\n")
      writeFileSync(join(folder, "lines"), lines)
      const uploaded = await curl(
        "/v1/topics/lines/events",
        "-H",
        "Content-Type: application/x-ndjson",
        "--data-binary",
        `@${join(folder, "lines")}`,
      )
      expect(uploaded.slice(0, 40)).toContain('"accepted":20000')
      const streamed = curl("/v1/topics/orders/stream?from=oldest", "-N", "--max-time", "4")
      await curl("/v1/topics/orders/events", "-H", json, "-d", event("live"))
      expect(await streamed).toContain('"id":"live"')
    },
    60_000,
  )

  test.skipIf(program === undefined || name !== "nginx")(
    "docs/proxy.md prints what it shows (skipped where it is not installed)",
    async () => {
      await start()
      const ca = join(folder, "hub.pem")
      for (const { command, output } of shownIn(pageText("proxy.md"))) {
        const here = command
          .replace("curl -s", `curl -s --cacert ${ca} --connect-to hub.example.com:443:127.0.0.1:${port}`)
          .replace("redcar tail", `NODE_EXTRA_CA_CERTS=${ca} redcar tail`)
          .replace("--url https://hub.example.com", `--url https://localhost:${port}`)
        const printed = await machine.run(here)
        if (!agrees(printed, output)) expect({ command, printed }).toEqual({ command, printed: output })
      }
    },
    60_000,
  )
})
