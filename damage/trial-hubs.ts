import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdir } from "node:fs/promises"
import { dirname, join } from "node:path"
import { generate, generateForeign } from "./generate.ts"
import { type Oracle, readOracle } from "./oracle.ts"
import { type Receiver, startReceiver } from "./receiver.ts"

/** What trials are done on: generated folders, what is known of them, and the receiver that they deliver to. */
export interface TrialHubs {
  /** Holds a folder for each variant, and `early`. */
  readonly hubs: string
  /** Another hub's folder. */
  readonly foreign: string
  readonly oracle: Oracle
  readonly receiver: Receiver
  /** Where the trial's folder is made; what was there before goes. */
  readonly work: string
  /** Whether a hub can run here as a user who owns nothing. */
  readonly othersMayRun: boolean
}

/** A user who owns nothing. */
export const nobody = 65_534

export interface OpenTrialHubs extends TrialHubs {
  close(): Promise<void>
}

/**
 * What the trials of one lane begin from, in a folder of its own: generated, or what an earlier run has left there. Lanes
 * have hubs of their own, since a hub's destinations name one receiver.
 */
export async function openTrialHubs(folder: string, seed: number): Promise<OpenTrialHubs> {
  await mkdir(folder, { recursive: true })
  const [hubs, foreign] = [join(folder, "hubs"), join(folder, "foreign")]
  const known = await readOracle(hubs)
  const receiver = await startReceiver(known?.port ?? 0)
  try {
    const oracle = known ?? (await generate(hubs, seed, receiver))
    if (!existsSync(join(foreign, "hub"))) await generateElsewhere(foreign)
    const close = () => receiver.close()
    return {
      hubs,
      foreign: join(foreign, "hub"),
      oracle,
      receiver,
      work: join(folder, "work"),
      othersMayRun: othersMayRun(folder),
      close,
    }
  } catch (error) {
    await receiver.close()
    throw error
  }
}

async function generateElsewhere(folder: string): Promise<void> {
  const receiver: Receiver = await startReceiver(0)
  try {
    await generateForeign(folder, receiver)
  } finally {
    await receiver.close()
  }
}

/** Only root may change users, and the user has to reach the program and the folder. */
function othersMayRun(folder: string): boolean {
  if (process.getuid?.() !== 0) return false
  const reaches = "for (const path of process.argv.slice(1)) fs.accessSync(path)"
  const paths = [folder, dirname(import.meta.dirname)]
  return spawnSync(process.execPath, ["-e", reaches, ...paths], { uid: nobody, gid: nobody }).status === 0
}
