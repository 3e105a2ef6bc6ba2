import { execFileSync } from "node:child_process"
import { chownSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import pg from "pg"
import { startBaseline } from "../process.ts"
import { atOnce, type PeerKind, type Work } from "./peer.ts"
import { firstLine, openFolder, startServer } from "./server.ts"

const port = 15_432
const nobody = 65_534
const workers = 4
const settings = { host: "127.0.0.1", port, user: "bench", database: "postgres" }

/** One table, a row inserted for each event, and workers that take rows with SKIP LOCKED and delete what they delivered. */
export const postgres: PeerKind = {
  name: "PostgreSQL, one table, SKIP LOCKED",
  version: () => firstLine("postgres", "--version"),
  async open(receiverPort) {
    const folder = await openFolder("postgres")
    const data = join(folder.path, "data")
    mkdirSync(data)
    // It refuses to run as root.
    const who = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {}
    if (who.uid !== undefined) chownSync(data, nobody, nobody)
    const make = ["-D", data, "-U", settings.user, "-A", "trust", "-E", "UTF8", "--no-locale"]
    execFileSync("initdb", make, { ...who, cwd: folder.path, stdio: "ignore" })
    const flags = ["-D", data, "-p", String(port), "-h", "127.0.0.1", "-k", "", "-c", "max_connections=100"]
    const server = await startServer("postgres", flags, port, { ...who, cwd: folder.path })
    const pool = new pg.Pool({ ...settings, max: atOnce })
    await pool.query("create table events (id bigserial primary key, body bytea not null)")
    const worker = await startBaseline("worker.ts", "postgres", String(port), String(receiverPort))
    return {
      publish: (body) => pool.query({ name: "put", text: "insert into events (body) values ($1)", values: [body] }),
      async stop() {
        await worker.stop()
        await pool.end()
        await server.stop()
        await folder.remove()
      },
    }
  },
}

const take = {
  name: "take",
  text: "select id, body from events order by id for update skip locked limit $1",
  values: [atOnce / workers],
}

export const work: Work = async (_, deliver) => {
  const pool = new pg.Pool({ ...settings, max: workers })
  const one = async () => {
    const client = await pool.connect()
    // Ends: with the process.
    for (;;) {
      await client.query("begin")
      const { rows } = await client.query<{ id: string; body: Buffer }>(take)
      await Promise.all(rows.map(({ id, body }) => deliver(id, body)))
      const ids = rows.map(({ id }) => id)
      if (ids.length > 0)
        await client.query({ name: "done", text: "delete from events where id = any($1)", values: [ids] })
      await client.query("commit")
      if (ids.length === 0) await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
  await Promise.all(Array.from({ length: workers }, one))
}
