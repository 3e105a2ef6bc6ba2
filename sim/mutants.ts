import { spawn } from "node:child_process"
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Mutant, mutants } from "./mutant-list.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
/** A mutant that lives through so many seeds has survived. */
const seedsMax = 1_200
/** One that asks nothing of its machine cannot be broken from inside. */
const hangsMs = 20 * 60_000

/**
 * Breaks a copy of the source by each mutant, and runs seeds until an invariant breaks. Answers whether all were found. `held`: the
 * source as it is was run with those seeds before, and held.
 */
export async function runMutants(only?: string, held = false): Promise<boolean> {
  const chosen = mutants.filter(({ name }) => only === undefined || name.includes(only))
  if (chosen.length === 0) throw new TypeError(`no mutant's name holds ${only}`)
  // What breaks in the source as it is says nothing of a mutant.
  const whole = held ? undefined : await run(root, ["sim/main.ts", "--seeds", String(seedsMax)])
  if (whole && whole.code !== 0) throw new Error(`the source as it is does not hold\n${whole.output}`)
  let survivors = 0
  const left = [...chosen]
  const work = async () => {
    // Ends: with the mutants.
    for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
      const found = await runMutant(mutant)
      if (found === undefined) survivors++
      process.stdout.write(found === undefined ? `SURVIVED ${mutant.name}\n` : `killed   ${mutant.name}: ${found}\n`)
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
  process.stdout.write(`${chosen.length - survivors} of ${chosen.length} mutants killed\n`)
  return survivors === 0
}

/** What was found, in one line. */
async function runMutant({ file, before, after, name }: Mutant): Promise<string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), "redcar-mutant-"))
  try {
    for (const folder of ["src", "sim"]) await cp(join(root, folder), join(directory, folder), { recursive: true })
    await cp(join(root, "package.json"), join(directory, "package.json"))
    await symlink(join(root, "node_modules"), join(directory, "node_modules"))
    const path = join(directory, file)
    const source = await readFile(path, "utf8")
    if (source.split(before).length !== 2)
      throw new Error(`mutant ${name}: its text must occur once in ${file}: ${before}`)
    await writeFile(
      path,
      source.replace(before, () => after),
    )
    const { code, output } = await run(directory, ["sim/main.ts", "--seeds", String(seedsMax)])
    if (code === null) return `it hangs for ${hangsMs / 60_000} minutes`
    if (code === 0) return undefined
    if (code === 1 && / broke: /.test(output)) return output.split("\n")[0]
    throw new Error(`mutant ${name}: the run itself failed\n${output}`)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function run(cwd: string, args: readonly string[]): Promise<{ readonly code: number | null; readonly output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd, stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    const take = (chunk: Buffer) => {
      output += chunk.toString()
    }
    child.stdout.on("data", take)
    child.stderr.on("data", take)
    const timer = setTimeout(() => child.kill("SIGKILL"), hangsMs)
    child.on("error", reject)
    child.on("close", (code) => {
      clearTimeout(timer)
      resolve({ code, output })
    })
  })
}
