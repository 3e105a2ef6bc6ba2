/** What is wrong with a part of a configuration, and which: `url`, `auth.basic.username`. */
export interface Fault {
  readonly field: string
  readonly message: string
}
