/** JetStream's own numbers of the reasons why it refuses, as far as they are told apart. */
export const reasons = {
  noMessage: 10037,
  noStream: 10059,
  nameInUse: 10058,
  noSuitablePeers: 10005,
  /** Also of an account that whoever leads a cluster has not read yet. */
  notEnabledForAccount: 10039,
  wrongLastSequence: 10071,
  /** The same, by what a leader has proposed to the others and nobody can read yet. */
  wrongLastSequenceNow: 10164,
  batchHoldsDuplicate: 10201,
  duplicateInProcess: 10158,
} as const

const passingCodes: ReadonlySet<number> = new Set([
  10008,
  10009,
  10077,
  10118,
  reasons.duplicateInProcess,
  10167,
  10176,
  10194,
  10202,
  10210,
  10211,
])

/** Whether it lies with the servers, and passes: no leader, no quorum, not enough of something, the same being stored right now. */
export function isPassing(code: number): boolean {
  return passingCodes.has(code)
}

/** Whether another message came first than the one that was expected. */
export function isWrongLastSequence(code: number): boolean {
  return code === reasons.wrongLastSequence || code === reasons.wrongLastSequenceNow
}

const fullCodes: ReadonlySet<number> = new Set([10002, 10023, 10028, 10047])

/** Whether it is for want of room. */
export function isFull(code: number): boolean {
  return fullCodes.has(code)
}
