import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

const collect = (() => {
  setFlagsFromString("--expose-gc")
  return runInNewContext("gc") as () => void
})()

/** Bytes in use after a collection. */
export function heapBytes(): number {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
