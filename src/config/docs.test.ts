import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { settingsPage } from "./docs.ts"
import { settingsList } from "./schema.ts"
import { readValue } from "./value.ts"

test("docs/settings.md is what the schema says; `node bin/redcar.js help settings > docs/settings.md` writes it", () => {
  const page = readFileSync(new URL("../../docs/settings.md", import.meta.url), "utf8")
  expect(page).toBe(settingsPage())
})

test("every setting's flag and variable are its own", () => {
  expect(new Set(settingsList.map(({ flag }) => flag)).size).toBe(settingsList.length)
  expect(new Set(settingsList.map(({ variable }) => variable)).size).toBe(settingsList.length)
})

test.each(settingsList.map((setting) => [setting.name, setting] as const))(
  "%s has a default that it would accept, or says how it is derived",
  (_, setting) => {
    if (setting.derived === undefined) {
      expect(readValue(setting, setting.byDefault)).toEqual({ value: setting.byDefault })
    } else {
      expect(setting.byDefault).toBeUndefined()
    }
  },
)
