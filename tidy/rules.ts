import { endlessLoops } from "./loops.ts"
import { files, linesOf, type Node, read, type Source, target, walk } from "./source.ts"

/** A place that breaks a rule. */
export interface Finding {
  readonly where: string
  readonly what: string
}

export type Rule = (sources: readonly Source[]) => readonly Finding[]

const functionLinesMax = 50
const fileLinesMax = 400

const longFunctions: Rule = (sources) =>
  sources.flatMap((source) => {
    if (source.isTest) return []
    const found: Finding[] = []
    walk(source.program, (node) => {
      if (!/^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) return
      const lines = linesOf(source, node.start, node.end)
      if (lines > functionLinesMax) found.push({ where: source.path, what: `a function of ${lines} lines` })
    })
    return found
  })

const longFiles: Rule = (sources) =>
  sources
    .filter(({ text, isTest }) => !isTest && text.split("\n").length > fileLinesMax)
    .map(({ path, text }) => ({ where: path, what: `${text.split("\n").length} lines` }))

const moduleLet: Rule = (sources) =>
  sources.flatMap(({ path, program, isTest }) =>
    (program.body as Node[])
      .map((node) => (node.type === "ExportNamedDeclaration" ? (node.declaration as Node | null) : node))
      .filter((node) => !isTest && node?.type === "VariableDeclaration" && node.kind !== "const")
      .map(() => ({ where: path, what: "a let at the top of a module" })),
  )

const defaultExports: Rule = (sources) =>
  sources
    .filter(({ path }) => !path.endsWith(".config.ts"))
    .filter(({ program }) => (program.body as Node[]).some(({ type }) => type === "ExportDefaultDeclaration"))
    .map(({ path }) => ({ where: path, what: "a default export" }))

const bannedName = /^(.*)(Manager|Service|Helper|Utils?|Impl)$/
const bannedFolder = /(^|\/)(utils|lib|common|types|helpers)\//

const names: Rule = (sources) =>
  sources.flatMap(({ path, program }) => {
    const found: Finding[] = bannedFolder.test(path) ? [{ where: path, what: "a folder that says nothing" }] : []
    walk(program, (node) => {
      if (!/^(ClassDeclaration|TSInterfaceDeclaration|TSTypeAliasDeclaration|FunctionDeclaration)$/.test(node.type))
        return
      const name = (node.id as { name?: string } | null)?.name ?? ""
      if (bannedName.test(name)) found.push({ where: path, what: `the name ${name}` })
    })
    return found
  })

const unfinished: Rule = () =>
  files()
    .filter((path) => !path.startsWith("tidy/") && /\.(ts|js|md|json)$/.test(path))
    .filter((path) => /\b(TODO|FIXME|XXX)\b/.test(read(path)))
    .map((path) => ({ where: path, what: "something left to do" }))

const cycles: Rule = (sources) => {
  const imports = new Map(
    sources.map(
      ({ path, program }) => [path, valueImports(program).flatMap((spec) => target(path, spec) ?? [])] as const,
    ),
  )
  const done = new Set<string>()
  const found: Finding[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      found.push({ where: path, what: `an import cycle: ${[...trail.slice(trail.indexOf(path)), path].join(" → ")}` })
      return
    }
    if (done.has(path)) return
    for (const next of imports.get(path) ?? []) visit(next, [...trail, path])
    done.add(path)
  }
  for (const path of imports.keys()) visit(path, [])
  return found
}

/** Type imports vanish when the source runs, and make no cycle. */
function valueImports(program: Node): readonly string[] {
  return (program.body as Node[])
    .filter((node) => /^(Import|ExportNamed|ExportAll)/.test(node.type))
    .filter((node) => node.importKind !== "type" && node.exportKind !== "type")
    .flatMap((node) => (node.source as { value: string } | null)?.value ?? [])
}

const stages = ["ingest", "route", "deliver", "retention", "analytics"]

/** What a folder of src/ may import of the others, besides core. What stands beside the folders (main.ts, hub.ts) may everything. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  core: [],
  formats: [],
  filters: ["formats"],
  match: ["filters", "formats"],
  ingest: ["formats"],
  route: ["filters", "match"],
  deliver: ["config", "formats"],
  retention: ["filters"],
  sources: ["formats"],
  // It moves what the router keeps, and has to know its words.
  migrate: ["route"],
  destinations: ["config", "formats"],
  engines: ["formats"],
  access: [],
  config: [],
  telemetry: [],
  queues: ["deliver"],
  // Of no protocol: what it refuses, each door says in its own words.
  resources: ["config", "deliver", "destinations", "filters", "formats", "sources"],
  api: [
    "access",
    "config",
    "deliver",
    "destinations",
    "filters",
    "formats",
    "queues",
    "resources",
    "retention",
    "sources",
  ],
  cli: ["config", "filters", "formats", "migrate"],
  testing: ["engines"],
}

const directions: Rule = (sources) =>
  sources
    .filter(({ path, isTest }) => path.startsWith("src/") && path.split("/").length > 2 && !isTest)
    .flatMap(({ path, imports }) => imports.flatMap((spec) => wrongWay(path, target(path, spec))))

function wrongWay(path: string, to: string | undefined): readonly Finding[] {
  if (to === undefined) return []
  const [from, folder] = [path.split("/")[1]!, to.startsWith("src/") ? to.split("/")[1]! : to]
  if (from === folder || folder === "core")
    return from === "core" && folder !== "core" ? [{ where: path, what: to }] : []
  if (
    /^main(-offline)?\.ts$/.test(folder) &&
    /^src\/cli\/server\/(serve|migrate|nats-scale|rebuild|folder-check)\.ts$/.test(path)
  )
    return []
  if (folder === "engines" && /^src\/cli\/server\/nats(-scale)?\.ts$/.test(path)) return []
  if (allowed[from]?.includes(folder)) return []
  return [{ where: path, what: `${stages.includes(folder) ? "the stage " : ""}${to} is not for ${from}` }]
}

const engineEntry = /^src\/engines\/\w+\/engine\.ts$/

/** Engines share `parts/` and know nothing of each other; tests, and what is there for them, see an engine's entry only. */
const engineInsides: Rule = (sources) =>
  sources.flatMap(({ path, imports, isTest }) =>
    imports.flatMap((spec) => {
      const to = target(path, spec)
      const engine = to && /^src\/engines\/(embedded|jetstream)\//.exec(to)?.[0]
      if (to === undefined || !engine || path.startsWith(engine) || (isTest && engineEntry.test(to))) return []
      return /^src\/(engines|testing)\//.test(path) ? [{ where: path, what: `${to} is inside another engine` }] : []
    }),
  )

const keysFile = "src/core/catalog-keys.ts"
/** A reader's name begins as a trigger's key does, and is none. */
const readersFile = "src/core/routing.ts"

/** Where the catalog has what, one file says. */
const catalogKeys: Rule = (sources) => {
  const kinds = [...read(keysFile).matchAll(/keysOf\("([^"]+)"\)/g)].map(([, kind]) => kind)
  const spelt = new RegExp(`["\`](${kinds.join("|")})/`)
  return sources
    .filter(({ path, isTest }) => path.startsWith("src/") && !isTest && ![keysFile, readersFile].includes(path))
    .filter(({ text }) => spelt.test(text))
    .map(({ path }) => ({ where: path, what: `a key of the catalog, which ${keysFile} spells` }))
}

const entryPoints =
  /^(src\/(main|cli\/main)\.ts|(sim|bench|faults|damage)\/main\.ts|bench\/baseline\/.*|.*\.config\.ts|examples\/.*|tidy\/.*)$/

const unused: Rule = (sources) => {
  const wanted = new Set(sources.flatMap(({ path, imports }) => imports.flatMap((spec) => target(path, spec) ?? [])))
  const spawned = sources.map(({ text }) => text).join("\n")
  return sources
    .filter(({ path }) => !/\.(test|d)\.ts$/.test(path) && !entryPoints.test(path) && !wanted.has(path))
    .filter(({ path }) => !spawned.includes(`./${path.split("/").at(-1)!.replace(".ts", "")}`))
    .map(({ path }) => ({ where: path, what: "nobody imports it" }))
}

/** Put together, so that this file does not find itself. */
const foreign = new RegExp(
  [
    ["/wo", "rk/"],
    ["/ro", "ot/"],
    ["registry", "\\.npmjs"],
    ["npmjs", "\\.org"],
  ]
    .map((p) => p.join(""))
    .join("|"),
)

const machinePaths: Rule = () =>
  files()
    .filter((path) => !/\.(png|ico)$/.test(path) && foreign.test(read(path)))
    .map((path) => ({ where: path, what: "a path or host of one machine" }))

const exactVersions: Rule = () => {
  const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Record<string, Record<string, string>>
  return Object.entries({ ...dependencies, ...devDependencies })
    .filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))
    .map(([name, version]) => ({ where: "package.json", what: `${name} ${version} is no exact version` }))
}

/** Style as a test: each rule by its name. */
export const rules: Readonly<Record<string, Rule>> = {
  longFunctions,
  longFiles,
  endlessLoops,
  moduleLet,
  defaultExports,
  names,
  unfinished,
  cycles,
  directions,
  catalogKeys,
  engineInsides,
  unused,
  machinePaths,
  exactVersions,
}
