import { fromSeed, type KeyPair } from "@nats-io/nkeys"
import { StartRefusedError } from "../../../core/errors.ts"
import { nativeKey } from "./native-key.ts"

/** What makes and signs the accounts and users of tenants. Whoever has it can read every tenant's events. */
export interface Issuer {
  /** Signs the accounts of tenants: a signing key of the servers' operator. */
  readonly operator: KeyPair
  /** The public key of the account that the hub is in. */
  readonly account: string
  /** Signs what tenants may import from the hub's account, and their users: a signing key of that account. */
  readonly signer: KeyPair
  /** The `.creds` of a user of the servers' system account, through which they learn of accounts. */
  readonly systemCredentials: string
}

/** The issuer as its file holds it: JSON. */
interface IssuerFile {
  readonly operatorSeed: string
  readonly account: string
  readonly accountSeed: string
  readonly systemCredentials: string
}

/** The file's text is not what `redcar nats init` writes. */
export class IssuerFileError extends StartRefusedError {
  override readonly name = "IssuerFileError"
  constructor(message: string) {
    super(message, ["Name the issuer.json that `redcar nats init` made: --nats-issuer <file>"])
  }
}

/** The text of an issuer's file. */
export function formatIssuer({ operator, account, signer, systemCredentials }: Issuer): string {
  const file: IssuerFile = { operatorSeed: seedOf(operator), account, accountSeed: seedOf(signer), systemCredentials }
  return `${JSON.stringify(file, undefined, 2)}\n`
}

/**
 * The inverse of {@link formatIssuer}; `file` is what it is called. Throws IssuerFileError, which says nothing of what the file
 * holds.
 */
export function parseIssuer(text: string, file = "the NATS issuer's file"): Issuer {
  const wrong = (member: keyof IssuerFile) => new IssuerFileError(`${file} has no right ${member}`)
  const parseSeed = (seed: unknown, prefix: string, member: keyof IssuerFile): KeyPair => {
    const key = typeof seed === "string" && seed.startsWith(prefix) ? keyOf(seed) : undefined
    if (key === undefined) throw wrong(member)
    return key
  }
  const { operatorSeed, account, accountSeed, systemCredentials } = parseObject(text, file)
  if (typeof account !== "string" || !/^A[A-Z2-7]{55}$/.test(account)) throw wrong("account")
  if (typeof systemCredentials !== "string") throw wrong("systemCredentials")
  return {
    operator: parseSeed(operatorSeed, "SO", "operatorSeed"),
    account,
    signer: parseSeed(accountSeed, "SA", "accountSeed"),
    systemCredentials,
  }
}

/** The text of a key's seed. */
export function seedOf(key: KeyPair): string {
  return new TextDecoder().decode(key.getSeed())
}

function parseObject(text: string, file: string): Partial<Record<keyof IssuerFile, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null ? value : {}
  } catch {
    throw new IssuerFileError(`${file} is not JSON`)
  }
}

/** Undefined where it is no seed. */
function keyOf(seed: string): KeyPair | undefined {
  try {
    return nativeKey(fromSeed(new TextEncoder().encode(seed)))
  } catch {
    return undefined
  }
}
