import { NoRespondersError } from "@nats-io/nats-core"
import { connect, credsAuthenticator, type NatsConnection } from "@nats-io/transport-node"
import { OverloadError } from "../../../core/errors.ts"
import { tlsOf } from "../connection.ts"

const subject = "$SYS.REQ.CLAIMS.UPDATE"
const connectMs = 5_000
/** All servers answer; after so long without another answer the rest are taken to be away. They ask the others later. */
const silenceMs = 500
const answersMs = 5_000

/** The servers do not take an account: what they say of it. A value; nobody throws it. */
export class AccountRefusal {
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

/** What a server says of an account it is told of. */
interface Answer {
  readonly data?: { readonly code?: number }
  readonly error?: { readonly description?: string }
}

/**
 * Tells the servers of an account, which replaces what they knew of it. Answers why they do not take it.
 * Throws OverloadError where none answers, or lets the issuer in.
 */
export async function announceAccount(
  servers: readonly string[],
  systemCredentials: string,
  account: string,
  caFile?: string,
): Promise<AccountRefusal | undefined> {
  const connection = await enter(servers, systemCredentials, caFile)
  try {
    const answers = await askAll(connection, account)
    const refusal = answers.find(({ data }) => data?.code !== 200)
    if (refusal !== undefined) return new AccountRefusal(refusal.error?.description ?? "they do not say why")
    return answers.length > 0 ? undefined : new AccountRefusal("none keeps accounts: set resolver { type: full, … }")
  } finally {
    await connection.close()
  }
}

async function enter(
  servers: readonly string[],
  systemCredentials: string,
  caFile: string | undefined,
): Promise<NatsConnection> {
  try {
    return await connect({
      servers: [...servers],
      name: "redcar accounts",
      authenticator: credsAuthenticator(new TextEncoder().encode(systemCredentials)),
      timeout: connectMs,
      reconnect: false,
      ...(await tlsOf(servers, caFile)),
    })
  } catch (error) {
    // Busy servers refuse in the same way as those that do not know the issuer.
    throw new OverloadError(1_000, `the NATS servers do not let the issuer in (${String(error)}): is it one of theirs?`)
  }
}

async function askAll(connection: NatsConnection, account: string): Promise<readonly Answer[]> {
  const options = { strategy: "stall" as const, maxWait: answersMs, stall: silenceMs }
  const answers: Answer[] = []
  try {
    for await (const answer of await connection.requestMany(subject, account, options)) {
      if (answer.data.length > 0) answers.push(answer.json<Answer>())
    }
  } catch (error) {
    if (error instanceof NoRespondersError) return []
    throw new OverloadError(1_000, `the NATS servers do not answer: ${String(error)}`)
  }
  return answers
}
