/** A system that does the same job as the hub: takes single events, durable when it says so, and has each POSTed to one webhook. */
export interface Peer {
  /** Durable when it resolves. */
  publish(body: Buffer): Promise<unknown>
  stop(): Promise<void>
}

export interface PeerKind {
  readonly name: string
  /** Its program's version; undefined where it is not on this machine. */
  version(): string | undefined
  /** Starts it on an empty folder, with what delivers to the receiver on this port. */
  open(receiverPort: number): Promise<Peer>
}

/** Brings an event to the receiver, signed; resolves when that has taken it. */
export type Deliver = (id: string, body: Uint8Array) => Promise<void>

/** Takes events out of a peer, has them delivered, many at a time, and then acknowledges them. Never resolves. */
export type Work = (address: string, deliver: Deliver) => Promise<void>

/** Deliveries at once, and publishes. */
export const atOnce = 64
