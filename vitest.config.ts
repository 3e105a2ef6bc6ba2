import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["{src,sim,bench,faults,damage,tidy,examples}/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: "forks",
    maxWorkers: 2,
    reporters: ["default", ["json", { outputFile: "node_modules/.vitest/results.json" }]],
  },
})
