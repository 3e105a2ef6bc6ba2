import type { Clock } from "../../core/clock.ts"
import type { Connect } from "./connect.ts"
import { type Carried, Connection } from "./connection.ts"
import type { AnswerHead } from "./http1/head.ts"

/** A request ends within its time and this part of it: late by so much at most, never early. */
const ticksPerTimeout = 20

export interface ConnectionsOptions {
  readonly connect: Connect
  readonly clock: Clock
  /** A request's time, from {@link Connections.take} on. */
  readonly timeoutMs: number
}

/**
 * A destination's connections: as many as there were ever requests at once, the last used first.
 *
 * One timer for all of them ends the requests that take too long: a timer for each would cost 1 us. It ticks, so that a
 * wall clock that is set moves no deadline. What is under way is found through its connection and not in a Map: in V8 the
 * tables that a busy Map leaves behind keep each other's entries alive until a full collection (1.5 KB a delivery).
 */
export class Connections {
  readonly #options: ConnectionsOptions
  readonly #all = new Set<Connection>()
  readonly #idle: Connection[] = []
  #busy = 0
  #tick = 0
  #ticking = false
  #idleAgain: Promise<void> | undefined
  #becameIdle = () => {}

  constructor(options: ConnectionsOptions) {
    this.#options = options
  }

  /** A connection for a request whose signal has not aborted. To be given back or dropped when that is over. */
  take(carried: Carried): Connection {
    const connection = this.#idle.pop() ?? this.#create()
    connection.carry(carried, this.#tick)
    this.#busy++
    if (!this.#ticking) this.#arm()
    return connection
  }

  /** Another connection for the same request in the same time, one that nobody has used. */
  replace(connection: Connection): Connection {
    const { carried, since } = connection
    const fresh = this.#create()
    if (carried !== undefined) fresh.carry(carried, since)
    this.#all.delete(connection)
    connection.destroy()
    return fresh
  }

  /** Its request was answered with `head`; `reusable`: it may carry another. */
  giveBack(connection: Connection, head: AnswerHead, reusable: boolean): void {
    connection.unload(head, reusable)
    this.#idle.push(connection)
    this.#over()
  }

  drop(connection: Connection): void {
    this.#all.delete(connection)
    connection.destroy()
    this.#over()
  }

  /** Resolves when no request is under way any more and all connections are ended. Nothing is taken from now on. */
  async close(): Promise<void> {
    if (this.#busy > 0) {
      this.#idleAgain ??= new Promise((resolve) => {
        this.#becameIdle = resolve
      })
      await this.#idleAgain
    }
    for (const connection of this.#all) connection.destroy()
    this.#all.clear()
    this.#idle.length = 0
  }

  #create(): Connection {
    const connection = new Connection(this.#options.connect)
    this.#all.add(connection)
    return connection
  }

  #over(): void {
    if (--this.#busy === 0) this.#becameIdle()
  }

  #arm(): void {
    this.#ticking = true
    this.#options.clock.after(this.#options.timeoutMs / ticksPerTimeout, () => {
      this.#tick++
      this.#ticking = false
      for (const connection of this.#all) {
        if (this.#tick - connection.since > ticksPerTimeout) connection.carried?.expire()
      }
      if (this.#busy > 0) this.#arm()
    })
  }
}
