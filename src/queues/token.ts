import type { Lease } from "../core/deliveries.ts"

/** What a worker knows a lease by. */
export interface LeaseToken {
  readonly token: number
  /** The delivery's id: who guesses a number has nothing by it. */
  readonly id: string
  /** It is of what is replayed, which has a lane of its own. */
  readonly isReplayed: boolean
}

/** A lease as a worker has it. */
export function formatLease({ token, delivery }: Lease): string {
  return Buffer.from(`${token.toString(36)}${delivery.replay === undefined ? " " : "!"}${delivery.id}`).toString(
    "base64url",
  )
}

/** The inverse of {@link formatLease}; undefined: it is none. */
export function parseLease(text: string): LeaseToken | undefined {
  const decoded = Buffer.from(text, "base64url").toString("latin1")
  const found = /^([0-9a-z]{1,10})([ !])([\x21-\x7e]+)$/.exec(decoded)
  if (found === null || Buffer.from(decoded, "latin1").toString("base64url") !== text) return undefined
  return { token: Number.parseInt(found[1]!, 36), id: found[3]!, isReplayed: found[2] === "!" }
}
