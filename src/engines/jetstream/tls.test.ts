import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Nats, natsAvailable, startNats } from "../../testing/nats.ts"
import { connectNats, NatsRefusedError } from "./connection.ts"
import { announceAccount } from "./credentials/announce.ts"
import { silentLog } from "./log.fixture.ts"
import { ask } from "./request.ts"

const there = natsAvailable() !== undefined && hasOpenssl()

function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

describe.skipIf(!there)("TLS to NATS (skipped where there is no nats-server, or no openssl)", () => {
  let home: string
  let secured: Nats
  let plain: Nats
  let other: Nats
  const ca = () => join(home, "cert.pem")
  const overTls = (nats: Nats) => nats.url.replaceAll("nats://127.0.0.1", "tls://localhost")

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), "redcar-tls-"))
    secured = await startNats({ config: certify("DNS:localhost", "cert") })
    other = await startNats({ config: certify("DNS:n1.example.com", "other") })
    plain = await startNats()
  })
  afterAll(async () => {
    await secured?.stop()
    await other?.stop()
    await plain?.stop()
    rmSync(home, { recursive: true, force: true })
  })

  /** Makes a certificate that is its own signer; answers the server's lines for it. */
  function certify(name: string, file: string): string {
    const [cert, key] = [join(home, `${file}.pem`), join(home, `${file}.key`)]
    const subject = ["-subj", "/CN=nats", "-addext", `subjectAltName=${name}`, "-days", "2"]
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    execFileSync("openssl", ["req", "-x509", ...kind, ...subject, "-keyout", key, "-out", cert], { stdio: "ignore" })
    return `tls { cert_file: "${cert}", key_file: "${key}" }`
  }

  const connect = (url: string, caFile?: string) =>
    connectNats({ servers: [url], log: silentLog, ...(caFile !== undefined && { caFile }) })

  async function refusal(connecting: Promise<unknown>): Promise<NatsRefusedError> {
    const error = await connecting.catch((error: unknown) => error)
    expect(error).toBeInstanceOf(NatsRefusedError)
    return error as NatsRefusedError
  }

  test("works with the certificate of who signed the servers' own", async () => {
    const nats = await connect(overTls(secured), ca())
    expect(nats.info?.tls_required).toBe(true)
    expect(await ask(nats, "INFO")).toMatchObject({ streams: 0 })
    await nats.close()
  })

  test("is refused where nobody vouches for the server, and says which setting names them", async () => {
    for (const url of [overTls(secured), overTls(secured).replace("tls:", "nats:")]) {
      const { next } = await refusal(connect(url))
      expect(next.join()).toContain("--nats-ca")
    }
  })

  test("is refused where the certificate holds another name, and says so", async () => {
    const { next } = await refusal(connect(overTls(other), join(home, "other.pem")))
    expect(next.join()).toContain("a host name that its certificate holds")
  })

  test("is never done without: tls:// to a server that has none is refused, and so is nats:// with nats.ca", async () => {
    await refusal(connect(overTls(plain), ca()))
    await refusal(connect(overTls(plain)))
    await refusal(connect(plain.url, ca()))
  })

  test("a file of certificates that is not there is named", async () => {
    const { message } = await refusal(connect(overTls(secured), join(home, "nothing.pem")))
    expect(message).toContain("nothing.pem cannot be read: there is no such file")
  })

  test("accounts of tenants are told over it too", async () => {
    const telling = announceAccount([overTls(secured)], "no credentials", "no account", ca())
    await expect(telling).rejects.toThrow("the NATS servers do not let the issuer in")
  })
})
