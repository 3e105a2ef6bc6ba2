import { isLoopbackHost } from "./addresses.ts"
import { parseSettingsFile } from "./file.ts"
import { nearest } from "./nearest.ts"
import { contradictions } from "./relations.ts"
import { type Setting, type Settings, settingsList } from "./schema.ts"
import { readValue } from "./value.ts"

/** Where settings may come from. The earlier of flags, environment, file and default wins. */
export interface SettingsSources {
  /** What the command line says, by setting name (`delivery.lease`); `config` names the file. */
  readonly flags: Readonly<Record<string, string>>
  readonly env: Readonly<Record<string, string | undefined>>
  /** The text of a file; undefined where there is none. */
  readFile(path: string): string | undefined
}

/** Something wrong with what was set, and where: `--port`, `REDCAR_PORT`, `./redcar.yaml: port`. */
export interface SettingsFault {
  readonly where: string
  readonly message: string
}

export type LoadedSettings =
  | {
      readonly kind: "settings"
      readonly settings: Settings
      /** Where each setting that is not at its default was said. */
      readonly origins: ReadonlyMap<string, string>
    }
  | { readonly kind: "faults"; readonly faults: readonly SettingsFault[] }

/** The file that is read, where it is there, when none is named. */
export const defaultSettingsFile = "./redcar.yaml"

/** Variables that begin like settings and are none: the CLI's own, and the name of the settings file. */
const otherVariables: readonly string[] = ["REDCAR_URL", "REDCAR_KEY", "REDCAR_CONFIG"]

/**
 * What Kubernetes sets in every pod beside a service that is called `redcar`; `REDCAR_PORT` is among them, with a URL
 * in it. Nobody wrote these, so they are passed over.
 */
const injected = /^REDCAR_(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)$/
const injectedPort = /^(tcp|udp):\/\//

interface Said {
  readonly name: string
  readonly raw: unknown
  readonly where: string
}

/** All settings from all sources, or everything that is wrong with them at once. Pure but for `readFile`. */
export function loadSettings(sources: SettingsSources): LoadedSettings {
  const file = fromFile(sources)
  const faults: SettingsFault[] = [...file.faults]
  const values = new Map<string, unknown>()
  const origins = new Map<string, string>()
  // The weakest source first, so that each later one replaces what an earlier one said. All are checked.
  for (const said of [...file.said, ...fromEnv(sources.env, faults), ...fromFlags(sources.flags)]) {
    const setting = settingsList.find(({ name }) => name === said.name)
    if (setting === undefined) {
      faults.push({ where: said.where, message: unknownSetting(said) })
      continue
    }
    const read = readValue(setting, said.raw)
    if ("message" in read) faults.push({ where: said.where, message: `${JSON.stringify(said.raw)} ${read.message}` })
    else {
      values.set(setting.name, read.value)
      origins.set(setting.name, said.where)
    }
  }
  if (faults.length > 0) return { kind: "faults", faults }
  return complete(values, origins)
}

function complete(values: ReadonlyMap<string, unknown>, origins: ReadonlyMap<string, string>): LoadedSettings {
  const settings = assemble(values)
  const faults = contradictions(settings).map(({ settings: names, message }) => ({
    where: names.map((name) => origins.get(name) ?? `${name} (by default)`).join(", "),
    message,
  }))
  return faults.length > 0 ? { kind: "faults", faults } : { kind: "settings", settings, origins }
}

function assemble(values: ReadonlyMap<string, unknown>): Settings {
  const root: Record<string, unknown> = {}
  for (const setting of settingsList) {
    const value = values.has(setting.name) ? values.get(setting.name) : (setting.byDefault ?? derive(setting, values))
    let group = root
    for (const key of setting.path.slice(0, -1)) {
      group[key] ??= {}
      group = group[key] as Record<string, unknown>
    }
    group[setting.path.at(-1)!] = value
  }
  return root as unknown as Settings
}

/** The settings whose default depends on others. */
function derive(setting: Setting, values: ReadonlyMap<string, unknown>): unknown {
  if (setting.name !== "destinations.allowLoopback") throw new TypeError(`${setting.name} has no default`)
  const host = values.get("host") ?? settingsList.find(({ name }) => name === "host")!.byDefault
  return isLoopbackHost(host as string)
}

function fromFlags(flags: Readonly<Record<string, string>>): readonly Said[] {
  return Object.entries(flags)
    .filter(([name]) => name !== "config")
    .map(([name, raw]) => ({ name, raw, where: settingsList.find((each) => each.name === name)?.flag ?? `--${name}` }))
}

function fromEnv(env: Readonly<Record<string, string | undefined>>, faults: SettingsFault[]): readonly Said[] {
  const said: Said[] = []
  for (const [variable, raw] of Object.entries(env)) {
    if (!variable.startsWith("REDCAR_") || raw === undefined || otherVariables.includes(variable)) continue
    if (injected.test(variable) || (variable === "REDCAR_PORT" && injectedPort.test(raw))) continue
    const setting = settingsList.find((each) => each.variable === variable)
    if (setting === undefined) faults.push({ where: variable, message: unknownVariable(variable) })
    else said.push({ name: setting.name, raw, where: variable })
  }
  return said
}

function fromFile(sources: SettingsSources): {
  readonly said: readonly Said[]
  readonly faults: readonly SettingsFault[]
} {
  const named = sources.flags.config ?? sources.env.REDCAR_CONFIG
  const path = named ?? defaultSettingsFile
  const text = sources.readFile(path)
  if (text === undefined) {
    const missing = { where: path, message: "there is no such file: name another with --config, or leave it out" }
    return { said: [], faults: named === undefined ? [] : [missing] }
  }
  const content = parseSettingsFile(text, groups)
  if (content.kind === "wrong") return { said: [], faults: [{ where: path, message: content.message }] }
  const said = Array.from(content.values, ([name, raw]) => ({ name, raw, where: `${path}: ${name}` }))
  return { said, faults: [] }
}

const groups: ReadonlySet<string> = new Set(
  settingsList.flatMap(({ name }) => (name.includes(".") ? [name.split(".")[0]!] : [])),
)

function unknownSetting(said: Said): string {
  if (groups.has(said.name)) return `has to hold settings by name, not ${JSON.stringify(said.raw)}`
  return unknown(
    `there is no setting ${said.name}`,
    nearest(
      said.name,
      settingsList.map(({ name }) => name),
    ),
  )
}

function unknownVariable(variable: string): string {
  return unknown(
    `there is no setting ${variable}`,
    nearest(
      variable,
      settingsList.map((each) => each.variable),
    ),
  )
}

function unknown(problem: string, near: string | undefined): string {
  return near === undefined ? `${problem}; \`redcar help settings\` lists them` : `${problem}; did you mean ${near}?`
}
