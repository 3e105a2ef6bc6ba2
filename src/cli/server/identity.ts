import type { Command } from "commander"
import { type CommonOptions, type Context, examples, subcommand, withHub } from "../command.ts"
import { UsageError } from "../failures.ts"
import { confirmed, printDone, printList } from "../output.ts"

interface RotateOptions extends CommonOptions {
  readonly revoke?: boolean
  readonly yes?: boolean
}

interface ApiRotatedKey {
  readonly kid: string
  readonly signsFrom: string
}

interface ApiPublicKey {
  readonly kid: string
  readonly kty: string
  readonly alg: string
}

export function configure(command: Command, context: Context): void {
  command.description("The keys by which receivers know the hub: they sign the tokens of destinations with auth.oidc.")
  const keys = subcommand(command, "keys", "List the public keys that receivers are shown now.").action(
    async (options: CommonOptions) => {
      const { keys } = await context
        .hub(options)
        .json<{ readonly keys: readonly ApiPublicKey[] }>("GET", "/.well-known/jwks.json")
      const columns = [
        { title: "kid", value: ({ kid }: ApiPublicKey) => kid },
        { title: "type", value: ({ kty }: ApiPublicKey) => kty },
        { title: "algorithm", value: ({ alg }: ApiPublicKey) => alg },
      ]
      await printList(context, options, keys, columns, "No keys.")
    },
  )
  examples(withHub(keys), [
    ["redcar identity keys", "Who signs, and who signs next"],
    ["redcar identity keys --json", "As receivers read them"],
  ])
  addRotate(command, context)
}

function addRotate(command: Command, context: Context): void {
  const rotate = subcommand(
    command,
    "rotate-key",
    "Make the next key: it is published at once, and signs a day later. The hub does so by itself every 90 days.",
  )
    .option("--revoke", "a key has leaked: the new one signs at once, and the old ones are published no more")
    .option("-y, --yes", "do not ask")
    .action(async (options: RotateOptions) => {
      const question = "Revoke all keys? Receivers that keep what they have read refuse events until they read again."
      if (options.revoke && !(await confirmed(context, question, options)))
        throw new UsageError("no key was revoked", ["Say yes when asked, or give --yes."])
      const json = options.revoke ? { revoke: true } : {}
      const made = await context.hub(options).json<ApiRotatedKey>("POST", "/v1/identity/rotate-key", { json })
      const when = options.revoke ? "signs now" : `signs from ${made.signsFrom} on`
      await printDone(context, options, made, `made the key ${made.kid}, which ${when}`)
    })
  examples(withHub(rotate), [
    ["redcar identity rotate-key", "Before its time; no receiver notices"],
    ["redcar identity rotate-key --revoke", "One has leaked"],
  ])
}
