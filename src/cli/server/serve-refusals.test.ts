import { execFile } from "node:child_process"
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { refusedOr } from "../../engines/parts/directory-refused.ts"
import { type Nats, natsAvailable, startNats } from "../../testing/nats.ts"
import { runCli } from "../terminal.fixture.ts"

const bin = fileURLToPath(new URL("../../../bin/redcar.js", import.meta.url))
let home: string
let taken: Server
let port: number

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "redcar-refusals-"))
  chmodSync(home, 0o755)
  for (const name of ["file", "not.creds", "not.pem", "not.json"])
    writeFileSync(join(home, name), "nothing of that kind")
  writeFileSync(join(home, "malformed.yaml"), "port: [")
  writeFileSync(join(home, "unknown.yaml"), "portt: 9000")
  writeFileSync(join(home, "list.yaml"), "- 1")
  mkdirSync(join(home, "state-is-a-file"))
  writeFileSync(join(home, "state-is-a-file", "state"), "x")
  mkdirSync(join(home, "log-is-a-file"))
  writeFileSync(join(home, "log-is-a-file", "log"), "x")
  mkdirSync(join(home, "lock-is-a-directory", "lock"), { recursive: true })
  mkdirSync(join(home, "key-is-a-directory", "admin.key"), { recursive: true })
  mkdirSync(join(home, "closed"), { mode: 0o555 })
  taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve))
  port = (taken.address() as AddressInfo).port
})

afterAll(() => {
  taken.close()
  rmSync(home, { recursive: true, force: true })
})

/** A command line, with `~` for the test's own folder and `PORT` for a port that is taken, and how it is refused. */
type Row = readonly [line: string, message: RegExp, next: RegExp]

const rows: readonly Row[] = [
  ["serve --port 0 --data ~/file", /^the data directory ~\/file cannot be used: it is a file$/, /--data <directory>$/],
  ["serve --port 0 --data ~/file/in", /cannot be used: ~\/file is a file, and has to be a directory$/, /--data <dir/],
  [
    "serve --port 0 --data ~/state-is-a-file",
    /~\/state-is-a-file\/state is a file, and has to be a/,
    /^Move that file/,
  ],
  ["serve --port 0 --data ~/log-is-a-file", /~\/log-is-a-file\/log is a file, and has to be a directory/, /^Move that/],
  ["serve --port 0 --data ~/lock-is-a-directory", /\/lock is a directory, and has to be a file$/, /^Move that away/],
  ["serve --port 0 --data ~/key-is-a-directory", /admin.key is no file, and has to hold the admin key/, /^$/],
  ["serve --port 0 --data /proc/x", /the system does not let \/proc\/x be made$/, /^Choose another one: --data </],
  [
    "serve --port PORT --data ~/a --limits-event-bytes-max 1MiB",
    /^port PORT on 127.0.0.1 is taken, perhaps by another hub$/,
    /^Stop that one, or choose another: redcar serve --port \d+ --data ~\/a .*--limits-event-bytes-max 1MiB/,
  ],
  [
    "serve --port PORT --data ~/a --admin-key rck_0123456789012345678901234567890123456789012",
    /is taken/,
    /redcar serve --port \d+ .*--admin-key <key>/,
  ],
  [
    "serve --port 0 --host 192.0.2.1 --data ~/a",
    /^192.0.2.1 is no address of this machine$/,
    /redcar serve --host 127.0.0.1 --port 0/,
  ],
  ["serve --port 0 --host no.invalid --data ~/a", /^the name no.invalid does not resolve/, /--host 127.0.0.1 --port 0/],
  ["serve --port 99999", /^--port: "99999" has to be from 0 to 65535$/, /redcar help settings/],
  ["serve --config ~/malformed.yaml", /^~\/malformed.yaml: is not valid YAML at line \d+, column \d+/, /help settings/],
  ["serve --config ~/unknown.yaml", /^~\/unknown.yaml: portt: there is no setting portt; did you mean port\?$/, /./],
  ["serve --config ~/list.yaml", /^~\/list.yaml: has to hold settings by name/, /./],
  ["serve --config ~/none.yaml", /^~\/none.yaml: there is no such file/, /./],
  ["serve --config ~", /^~ cannot be read \(EISDIR\)$/, /./],
  ["serve --engine http://h:4222", /^--engine: "http:\/\/h:4222" is no NATS server: say nats:\/\/host:4222/, /./],
  ["serve --engine me:secret@h:4222", /^--engine: "h:4222" is no NATS server/, /./],
  ["serve --engine nats://me:se/cret@h:4222", /^--engine: "nats:\/\/h:4222" is no NATS server/, /./],
  ["serve --engine nats://me:se,cret,s@h:4222", /^--engine: "nats:\/\/h:4222" is no NATS server/, /./],
  ["migrate --from wss://me:se/cret@h --to ~/a", /^wss:\/\/h is neither a directory nor NATS$/, /./],
  [
    "serve --data ~/a --engine nats://me:se@cret@127.0.0.1:1 --port 0",
    /^no NATS server answers at nats:\/\/127.0.0.1:1: /,
    /./,
  ],
  ["serve --data ~/a --engine nats://127.0.0.1:1 --port 0", /^no NATS server answers at nats:\/\/127/, /^Start one: /],
  [
    "serve --data ~/a --engine nats://me:secret@127.0.0.1:1 --port 0",
    /^no NATS server answers at nats:\/\/127.0.0.1:1: /,
    /./,
  ],
  [
    "serve --data ~/a --engine nats://127.0.0.1:1 --port 0 --nats-credentials ~/none",
    /^~\/none cannot be read: there is no such file$/,
    /^Check --nats-credentials/,
  ],
  [
    "serve --data ~/a --engine nats://127.0.0.1:1 --port 0 --nats-credentials ~/not.creds",
    /^~\/not.creds holds no NATS credentials$/,
    /--nats-credentials <file>/,
  ],
  [
    "serve --data ~/a --engine tls://127.0.0.1:1 --port 0 --nats-ca ~/none",
    /^~\/none cannot be read/,
    /^Check --nats-ca/,
  ],
  [
    "serve --data ~/a --engine tls://127.0.0.1:1 --port 0 --nats-ca ~/not.pem",
    /not.pem holds no cert/,
    /--nats-ca <file>/,
  ],
  [
    "serve --data ~/a --engine nats://127.0.0.1:1 --port 0 --nats-issuer ~/none",
    /cannot be read/,
    /^Check --nats-issuer/,
  ],
  [
    "serve --data ~/a --engine nats://127.0.0.1:1 --port 0 --nats-issuer ~/not.json",
    /not.json is not JSON$/,
    /issuer.json/,
  ],
  ["migrate --from ~/nothing --to ~/b", /^there is no hub's data in ~\/nothing$/, /--from/],
  ["migrate --from ~/file --to ~/b", /^there is no hub's data in ~\/file$/, /--from/],
  ["migrate --from ~/log-is-a-file --to ~/b", /\/log is a file, and has to be a directory$/, /^Move that file away/],
  ["migrate --from ~/log-is-a-file --to ~/file", /^~\/file is a file$/, /--to/],
  ["migrate --from http://h:1 --to ~/b", /^http:\/\/h:1 is neither a directory nor NATS$/, /nats:\/\/host:4222/],
  ["migrate --from nats://127.0.0.1:1 --to ~/b", /^no NATS server answers at nats:\/\/127.0.0.1:1/, /^Start one/],
  ["nats scale --engine nats://127.0.0.1:1 --nats-replicas 3", /^no NATS server answers/, /^Start one/],
  ["doctor --rebuild --data ~/file", /^cannot read ~\/file: part of the path is a file/, /^Check the path/],
  ["doctor --rebuild --data ~/nothing", /^there is no hub's log in ~\/nothing$/, /--data/],
]

describe("what cannot be started is told in a sentence, with what to do", () => {
  test.each(rows)("%s", async (line, message, next) => {
    const words = line.split(" ").map((word) => word.replace(/^~/, home).replace(/^PORT$/, String(port)))
    const { code, err, out } = await runCli(line.startsWith("serve") ? [...words, "--log-level", "silent"] : words)
    const [first = "", ...rest] = err.replaceAll(home, "~").replaceAll(String(port), "PORT").trimEnd().split("\n")
    expect([first.replace(/^error: /, ""), rest.join("\n"), out]).toEqual([
      expect.stringMatching(message),
      expect.stringMatching(next),
      "",
    ])
    expect(code).toBeGreaterThan(0)
    expect(err).not.toMatch(/secret|cret[@,]|me:|rck_|^\s+at /m)
  })
})

/** Runs it as a user who may not write to ~/closed. */
function runAsOther(words: readonly string[]): Promise<string> {
  const isRoot = process.getuid?.() === 0
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env.PATH }, ...(isRoot && { uid: 65_534, gid: 65_534 }) }
    execFile(process.execPath, [bin, ...words], options, (_, __, err) => resolve(err.replaceAll(home, "~")))
  })
}

test("a directory of another user, or one that is closed to this one, is named with what to do", async () => {
  for (const data of [join(home, "closed"), join(home, "closed", "new")]) {
    const err = await runAsOther(["serve", "--port", "0", "--data", data, "--log-level", "silent"])
    expect(err).toMatch(
      /^error: the data directory ~\/closed\S* cannot be used: (~\/closed belongs to|user \d+ may not)/,
    )
    expect(err).toMatch(/or choose another one: --data <directory>\n$/)
  }
})

test("a disk that is read-only is told", () => {
  const refusal = refusedOr("data", Object.assign(new Error("EROFS"), { code: "EROFS", path: "data/lock" })) as Error
  expect(refusal.message).toBe("the data directory data cannot be used: its file system is mounted read-only")
})

describe.skipIf(natsAvailable() === undefined)("of NATS servers", () => {
  let nats: Nats
  beforeAll(async () => {
    nats = await startNats({ config: "authorization { user: hub, password: right }" })
  }, 60_000)
  afterAll(() => nats.stop())

  test.each([
    ["nats://", /lets nobody in without credentials, and none were given$/, /^Give some: --nats-credentials <file>/],
    ["nats://hub:secret@", /refuses the user and the password, or the token$/, /^Check them in --engine/],
    ["tls://hub:right@", /^the NATS server at tls:\/\/[^@]+ has no TLS$/, /^Leave TLS out: --engine nats:\/\/127/],
  ])("%s", async (start, message, next) => {
    const engine = nats.url.replace("nats://", start)
    const words = ["serve", "--port", "0", "--data", join(home, "a"), "--log-level", "silent", "--engine", engine]
    const { code, err } = await runCli(words)
    const [first = "", second = ""] = err.replace(/^error: /, "").split("\n")
    expect([code, first, second]).toEqual([1, expect.stringMatching(message), expect.stringMatching(next)])
    expect(err).not.toMatch(/secret|right/)
  })
})
