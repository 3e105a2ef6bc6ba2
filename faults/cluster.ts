import type { Nats, NatsServer } from "../src/testing/nats.ts"

interface Jsz {
  readonly account_details?: readonly { readonly stream_detail?: readonly StreamDetail[] }[]
}

interface StreamDetail {
  readonly name: string
  readonly state: { readonly messages: number }
  readonly cluster?: { readonly leader?: string }
}

/** Streams of the log, by their names. */
const logStream = /_LOG_\d+$/

/** Which server leads the stream of the log that holds the most, and which ones only follow it. */
export interface LogLeader {
  readonly stream: string
  readonly leader: NatsServer
  readonly followers: readonly NatsServer[]
}

/** As the servers tell on their monitoring ports. Throws where no stream of the log has a leader. */
export async function findLogLeader({ servers }: Nats): Promise<LogLeader> {
  const told = await Promise.all(servers.map(streamsOf))
  const streams = told.flat().filter(({ name, cluster }) => logStream.test(name) && cluster?.leader)
  const [fullest] = streams.toSorted((a, b) => b.state.messages - a.state.messages)
  const leader = servers.find(({ name }) => name === fullest?.cluster?.leader)
  if (fullest === undefined || leader === undefined) throw new Error("no stream of the log has a leader")
  return { stream: fullest.name, leader, followers: servers.filter((server) => server !== leader) }
}

async function streamsOf({ monitor }: NatsServer): Promise<readonly StreamDetail[]> {
  const answer = await fetch(`${monitor}/jsz?accounts=true&streams=true`)
  const { account_details = [] } = (await answer.json()) as Jsz
  return account_details.flatMap(({ stream_detail = [] }) => stream_detail)
}
