import { writeFile } from "node:fs/promises"
import type { Command } from "commander"
import { type CommonOptions, type Context, durationText, examples, subcommand, withHub } from "../command.ts"
import { UsageError } from "../failures.ts"
import { confirmed, printDone, printOne } from "../output.ts"
import { printable } from "../terminal.ts"

interface CredentialsOptions extends CommonOptions {
  readonly consumer?: string
  readonly expires?: string
  readonly out?: string
}

interface ApiNatsCredentials {
  readonly credentials: string
  readonly expiresAt: string
  readonly warnings?: readonly string[]
}

export function configure(command: Command, context: Context): void {
  command.description("Tenants: whose events they are.")
  const credentials = subcommand(
    command,
    "nats-credentials <tenant>",
    "Issue credentials for NATS clients that publish and read this tenant's events in the servers themselves, and nothing else there.",
  )
    .option("--consumer <name>", "what the client reads with, where several read all events each")
    .option("--expires <duration>", "when the servers stop taking them (default 90d)", durationText)
    .option("--out <path>", "write them to a new file that nobody else can read")
    .action((tenant: string, options: CredentialsOptions) => issue(context, tenant, options))
  examples(withHub(credentials), [
    ["redcar tenant nats-credentials default --out shop.creds", "For a client of the tenant"],
    ["redcar tenant nats-credentials default --consumer reports --expires 365d", "Another reader, for a year"],
    ["redcar tenant nats-credentials default > shop.creds", "Where a shell makes the file"],
  ])
  addRevoke(command, context)
}

function addRevoke(command: Command, context: Context): void {
  const revoke = subcommand(
    command,
    "revoke-nats-credentials <tenant>",
    "End all NATS credentials of the tenant that were issued before, also where they are in use.",
  )
    .option("-y, --yes", "do not ask")
    .action(async (tenant: string, options: CommonOptions & { readonly yes?: boolean }) => {
      const question = `End all NATS credentials of ${tenant}? Clients that use them are cut off.`
      if (!(await confirmed(context, question, options)))
        throw new UsageError(`no credentials of ${tenant} were ended`, ["Say yes when asked, or give --yes."])
      await context.hub(options).send("DELETE", pathOf(tenant))
      await printDone(context, options, { tenant }, `ended all NATS credentials of ${tenant}`)
    })
  examples(withHub(revoke), [
    ["redcar tenant revoke-nats-credentials default", "After asking"],
    ["redcar tenant revoke-nats-credentials default --yes", "At once"],
  ])
}

function pathOf(tenant: string): string {
  return `/v1/tenants/${encodeURIComponent(tenant)}/nats-credentials`
}

async function issue(context: Context, tenant: string, options: CredentialsOptions): Promise<void> {
  const { consumer, expires: expiresIn, out } = options
  const issued = await context
    .hub(options)
    .json<ApiNatsCredentials>("POST", pathOf(tenant), { json: { consumer, expiresIn } })
  const { credentials, ...rest } = issued
  const revoke = `redcar tenant revoke-nats-credentials ${tenant}`
  for (const line of issued.warnings ?? []) context.terminal.err(`warning: ${printable(line)}: ${revoke}\n`)
  if (out !== undefined) {
    await writeSecret(out, credentials)
    return printDone(context, options, rest, `wrote ${out}; good until ${issued.expiresAt}`)
  }
  return options.json ? printOne(context, options, issued) : context.terminal.out(credentials)
}

/** A new file of this user alone. */
async function writeSecret(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: "wx", mode: 0o600 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const next = code === "EEXIST" ? "Name a file that is not there yet." : "Check the path and its permissions."
    throw new UsageError(`${path} cannot be written (${code})`, [next], { cause: error })
  }
}
