import type { TSchema } from "typebox"
import type { CatalogWrite } from "../core/catalog.ts"
import type { CatalogKeys } from "../core/catalog-keys.ts"
import type { Labels } from "../core/resources.ts"
import type { Faults } from "./faults.ts"
import type { Along } from "./needs.ts"

/** What every stored resource has. */
export interface Stored {
  readonly id: string
  readonly tenant: string
  readonly createdAt: number
  readonly updatedAt: number
  readonly labels: Labels
}

/** One resource being written. */
export interface Draft<Resource extends Stored> {
  readonly tenant: string
  readonly id: string
  /** What is stored; undefined while it is being created. */
  readonly previous: Resource | undefined
  readonly now: number
  /** Where the reader notes what is wrong. What it answers is thrown away where there is anything. */
  readonly faults: Faults
}

/** What one type of resource is. */
export interface ResourceType<Resource extends Stored> {
  /** `trigger`: in messages. */
  readonly name: string
  readonly plural: string
  /** Where the catalog has them. */
  readonly keys: CatalogKeys
  /** Before the random part of an id that the hub makes; absent: the caller has to name it. */
  readonly idPrefix?: string
  /** A tenant has about so many at most; absent: as many as it likes. */
  readonly countMax?: number
  /** What may be wanted of one. */
  readonly input: TSchema
  /** The input of a resource that is there, where that says more. */
  inputOf?(resource: Resource): TSchema
  /** Members of what is shown that the hub sets: where one is replaced they are ignored, so that what was read can be sent back. */
  readonly readOnly: readonly string[]
  /** What a JSON merge patch has made of one, where a member of it is to be replaced as a whole. */
  patched?(fields: Record<string, unknown>, patch: Record<string, unknown>): Record<string, unknown>
  /** The resource that is wanted. Fields that `faults` already holds are of any type. */
  read(body: Record<string, unknown>, draft: Draft<Resource>): Promise<Resource>
  /** In the form of its input. `known` is what its reader has seen of it: what is new since is shown the one time. */
  show(resource: Resource, known: Resource | undefined): Record<string, unknown>
  /** A resource that exists though nobody has stored it. */
  builtIn?(tenant: string, id: string): Resource | undefined
  /** Why it cannot be deleted; undefined when it can. */
  inUse?(resource: Resource): Promise<string | undefined>
  /**
   * Right before it is deleted though it is in use, because the caller insists; what it answers is told. With `dryRun` it changes
   * nothing, and tells what would become of it.
   */
  force?(resource: Resource, dryRun: boolean): Promise<Record<string, unknown>>
  /** Where the catalog says that one is being deleted; absent: nothing needs one. */
  readonly deletions?: CatalogKeys
  /** What is stored, as it is changed and shown to who changes it. Throws RefusedError. */
  opened?(stored: Resource): Resource
  /** What of it can be read where it cannot be opened: who replaces all of it goes on from that. Absent: nobody does. */
  withoutSealed?(stored: Resource): Resource
  /** What is to be stored of it, where `previous` is. */
  sealed?(resource: Resource, previous: Resource | undefined): Resource
  /** What it needs to be stored, nothing being wrong with it. */
  needs?(resource: Resource, previous: Resource | undefined): Promise<Along>
  /** What is deleted in one step with it; of a type that nothing needs. */
  goesAlong?(resource: Resource): readonly CatalogWrite[]
  changed?(resource: Resource, previous: Resource): Promise<void>
  removing?(resource: Resource): Promise<void>
  removed?(resource: Resource): Promise<void>
}
