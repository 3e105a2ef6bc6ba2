import { defineConfig } from "vitest/config"

/** Their tests leave nothing behind in a process, which so serves many files: a new one for each costs a third of a second. */
const shared = [
  "src/{access,api,cli,config,core,deliver,destinations,filters,formats,ingest,match,resources,retention,route,sources,telemetry,testing}/**/*.test.ts",
  "tidy/**/*.test.ts",
]

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: "forks",
    maxWorkers: 3,
    reporters: ["default", ["json", { outputFile: "node_modules/.vitest/results.json" }]],
    projects: [
      { extends: true, test: { name: "shared", include: shared, isolate: false } },
      {
        extends: true,
        test: {
          name: "apart",
          include: ["{src,sim,bench,faults,damage,tidy,examples}/**/*.test.ts"],
          exclude: [...shared, "**/node_modules/**"],
        },
      },
    ],
  },
})
