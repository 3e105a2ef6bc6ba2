import type { Catalog, Item } from "../core/catalog.ts"
import { scan } from "../core/catalog-scan.ts"
import { ConflictError } from "../core/errors.ts"
import type { Labels } from "../core/resources.ts"
import { checkRemovals, checkSchema } from "./check-schema.ts"
import type { ResourceContext } from "./context.ts"
import { Counts } from "./counts.ts"
import { createFaults, type Faults } from "./faults.ts"
import { isObject, mergePatch } from "./merge-patch.ts"
import { beginDeletion, nothingAlong } from "./needs.ts"
import { RefusedError } from "./refusal.ts"
import type { Draft, ResourceType, Stored } from "./resource-type.ts"

/** Why what is at this revision is not to be changed; undefined where it is. An undefined revision: nothing is there. */
export type Precondition = (revision: number | undefined) => string | undefined

export interface ChangeOptions {
  readonly precondition?: Precondition | undefined
  /** Everything is checked, and nothing stored. */
  readonly validateOnly?: boolean | undefined
  /** See ResourceType.force. */
  readonly force?: boolean | undefined
}

/** A resource as it is now, or would be. */
export interface Written<Resource> {
  readonly resource: Resource
  /** Undefined for what was only validated. */
  readonly revision: number | undefined
  /** As ResourceType.show takes it. */
  readonly known: Resource | undefined
  /** It was not there before. */
  readonly isNew?: true
}

/** What was deleted, or would be; `forced`: what became of what needed it. */
export interface Removed<Resource> {
  readonly item: Item<Resource>
  readonly forced: Record<string, unknown> | undefined
}

export interface Which {
  /** All of them have to be there. */
  readonly labels: Labels
  /** Only those with ids behind this one. */
  readonly after: string | undefined
}

/** Makes of a resource what it is to be; throws RefusedError where it is not to be. */
export type Edit<Resource> = (resource: Resource) => Resource | Promise<Resource>

/** Creates, finds, replaces, patches and deletes resources of one type. What is refused is thrown as RefusedError. */
export interface ResourceStore<Resource extends Stored> {
  readonly type: ResourceType<Resource>
  create(tenant: string, body: unknown, options: ChangeOptions): Promise<Written<Resource>>
  /** The stored resource, or a built-in one, whose revision is 0. */
  find(tenant: string, id: string): Promise<Item<Resource>>
  /** Goes through a tenant's, in order of id, until `visit` answers false. */
  each(tenant: string, which: Which, visit: (item: Item<Resource>) => boolean): Promise<void>
  /** Makes it where it is not there. */
  replace(tenant: string, id: string, body: unknown, options: ChangeOptions): Promise<Written<Resource>>
  patch(tenant: string, id: string, body: unknown, options: ChangeOptions): Promise<Written<Resource>>
  /** A change that `edit` makes by itself; what it answers is stored as it is. */
  edit(tenant: string, id: string, options: ChangeOptions, edit: Edit<Resource>): Promise<Written<Resource>>
  remove(tenant: string, id: string, options: ChangeOptions): Promise<Removed<Resource>>
}

/** How often a change begins anew because another came first, before it gives up. */
const triesMax = 8
const commonReadOnly: readonly string[] = ["tenant", "createdAt", "updatedAt", "etag"]

/** Whether a text from outside can be the id of something stored: what cannot is not looked for. */
export function mayBeId(text: string): boolean {
  return /^[\w.~-]{1,200}$/.test(text)
}

export function createResourceStore<Resource extends Stored>(
  context: ResourceContext,
  type: ResourceType<Resource>,
): ResourceStore<Resource> {
  return new CatalogStore(context, type)
}

type Next<Resource> = (item: Item<Resource>) => Promise<Resource> | Resource

class CatalogStore<Resource extends Stored> implements ResourceStore<Resource> {
  readonly type: ResourceType<Resource>
  readonly #context: ResourceContext
  readonly #catalog: Catalog
  readonly #readOnly: readonly string[]
  readonly #counts: Counts

  constructor(context: ResourceContext, type: ResourceType<Resource>) {
    this.type = type
    this.#context = context
    this.#catalog = context.engine.catalog
    this.#readOnly = [...commonReadOnly, ...type.readOnly]
    this.#counts = new Counts(context, type)
  }

  create(tenant: string, body: unknown, options: ChangeOptions): Promise<Written<Resource>> {
    const { type } = this
    const fields = isObject(body) ? body : {}
    const id = typeof fields.id === "string" ? fields.id : newId(this.#context, type)
    return this.#inTurns(`${type.name} ${id}`, async () => {
      const faults = readOnlyFaults(fields, this.#readOnly)
      const resource = await this.#read(bodyObject(body), { tenant, id, previous: undefined, faults })
      const key = type.keys.of({ tenant, id })
      if ((await this.#catalog.get(key)) !== undefined) throw alreadyExists(type.name, id)
      return this.#make(resource, options)
    })
  }

  /** Stores what is not there yet; undefined where another write made it first. */
  async #make(resource: Resource, options: ChangeOptions): Promise<Written<Resource> | undefined> {
    await this.#counts.refuseMore(resource.tenant)
    if (options.validateOnly) return { resource, revision: undefined, known: resource, isNew: true }
    const revision = await this.#put({ key: this.type.keys.of(resource), revision: 0 }, resource, undefined)
    if (revision !== undefined) this.#counts.made(resource.tenant)
    return revision === undefined ? undefined : { resource, revision, known: undefined, isNew: true }
  }

  async each(tenant: string, { labels, after }: Which, visit: (item: Item<Resource>) => boolean): Promise<void> {
    const prefix = this.type.keys.ofTenant(tenant)
    const wanted = Object.entries(labels)
    const take = (item: Item<Resource>) =>
      !wanted.every(([name, text]) => labelOf(item.value.labels, name) === text) || visit(item)
    await scan<Resource>(this.#context, prefix, take, after === undefined ? undefined : prefix + after)
  }

  replace(tenant: string, id: string, body: unknown, options: ChangeOptions): Promise<Written<Resource>> {
    const { type } = this
    const read = (previous: Resource | undefined) => {
      const fields = { id, ...bodyObject(body) }
      return this.#read(fields, { tenant, id, previous, faults: idFaults(fields, id) })
    }
    return this.#inTurns(`${type.name} ${id}`, async () => {
      const item = await this.#lookFor(tenant, id)
      requirePrecondition(item, options)
      if (item !== undefined) return this.#write(this.#openedOrRest(item), item, options, ({ value }) => read(value))
      return this.#make(await read(undefined), options)
    })
  }

  patch(tenant: string, id: string, body: unknown, options: ChangeOptions): Promise<Written<Resource>> {
    return this.#change(tenant, id, options, ({ value: previous }) => {
      const patch = bodyObject(body)
      const merged = mergePatch({ id, ...this.type.show(previous, previous) }, patch) as Record<string, unknown>
      const fields = this.type.patched?.(merged, patch) ?? merged
      const faults = idFaults(fields, id, readOnlyFaults(patch, this.#readOnly))
      checkRemovals(this.type.inputOf?.(previous) ?? this.type.input, without(patch, this.#readOnly), faults)
      return this.#read(fields, { tenant, id, previous, faults })
    })
  }

  edit(tenant: string, id: string, options: ChangeOptions, edit: Edit<Resource>): Promise<Written<Resource>> {
    return this.#change(tenant, id, options, (item) => edit(item.value))
  }

  remove(tenant: string, id: string, options: ChangeOptions): Promise<Removed<Resource>> {
    return this.#inTurns(`${this.type.name} ${id}`, () => this.#remove(tenant, id, options))
  }

  async find(tenant: string, id: string): Promise<Item<Resource>> {
    const { type } = this
    const item = await this.#lookFor(tenant, id)
    if (item !== undefined) return item
    throw new RefusedError("not-found", `there is no ${type.name} ${JSON.stringify(id)}`, { about: type.plural })
  }

  async #lookFor(tenant: string, id: string): Promise<Item<Resource> | undefined> {
    const { type } = this
    const key = type.keys.of({ tenant, id })
    const item = mayBeId(id) ? await this.#catalog.get<Resource>(key) : undefined
    if (item !== undefined) return item
    const builtIn = type.builtIn?.(tenant, id)
    return builtIn && { key, value: builtIn, revision: 0 }
  }

  /** The resource that fields ask for; throws with every fault, those that the draft holds already among them. */
  async #read(fields: Record<string, unknown>, draft: Omit<Draft<Resource>, "now">): Promise<Resource> {
    const body = without(fields, this.#readOnly)
    checkSchema(this.type.input, body, draft.faults)
    const resource = await this.type.read(body, { ...draft, now: this.#context.clock.now() })
    draft.faults.refuse()
    return resource
  }

  #change(tenant: string, id: string, options: ChangeOptions, next: Next<Resource>): Promise<Written<Resource>> {
    const { type } = this
    return this.#inTurns(`${type.name} ${id}`, async () => {
      const item = await this.find(tenant, id)
      requirePrecondition(item, options)
      return this.#write(this.type.opened?.(item.value) ?? item.value, item, options, next)
    })
  }

  /** Tries a write until none came before it, which it tells by answering undefined. */
  #inTurns<Result>(what: string, write: () => Promise<Result | undefined>): Promise<Result> {
    return this.#context.changes.run(async () => {
      for (let tries = 0; tries < triesMax; tries++) {
        const written = await write()
        if (written !== undefined) return written
      }
      throw new RefusedError("conflict", `others keep changing ${what}; try again`)
    })
  }

  /** What is stored, to be replaced as a whole: where it cannot be opened, what can be read of it. */
  #openedOrRest({ value }: Item<Resource>): Resource {
    const { type } = this
    try {
      return type.opened?.(value) ?? value
    } catch (error) {
      if (error instanceof RefusedError && type.withoutSealed !== undefined) return type.withoutSealed(value)
      throw error
    }
  }

  /** Stores what `next` makes of an item, of which `value` is what was opened; undefined where another write came first. */
  async #write(
    value: Resource,
    item: Item<Resource>,
    options: ChangeOptions,
    next: Next<Resource>,
  ): Promise<Written<Resource> | undefined> {
    const { type } = this
    const resource = { ...(await next({ ...item, value })), updatedAt: this.#context.clock.now() }
    if (options.validateOnly) return { resource, revision: undefined, known: resource }
    const revision = await this.#put(item, resource, item.value)
    if (revision === undefined) return undefined
    await type.changed?.(resource, item.value)
    return { resource, revision, known: item.value }
  }

  /** The new revision; undefined where another write came first, of it or of what it needs. */
  async #put(
    { key, revision }: Pick<Item<Resource>, "key" | "revision">,
    resource: Resource,
    previous: Resource | undefined,
  ): Promise<number | undefined> {
    const { writes, conditions } = (await this.type.needs?.(resource, previous)) ?? nothingAlong
    const value = this.type.sealed?.(resource, previous) ?? resource
    if (writes.length + conditions.length === 0) return putUnlessChanged(this.#catalog, { key, revision }, value)
    try {
      const revisions = await this.#catalog.change([{ key, value, expected: revision }, ...writes], conditions)
      return revisions[0]
    } catch (error) {
      if (error instanceof ConflictError) return undefined
      throw error
    }
  }

  /** Undefined where another write came first. */
  async #remove(tenant: string, id: string, options: ChangeOptions): Promise<Removed<Resource> | undefined> {
    const { type } = this
    const item = await this.find(tenant, id)
    requirePrecondition(item, options)
    const isForced = options.force === true && type.force !== undefined
    if (!isForced) await this.#refuseUsed(item.value)
    if (options.validateOnly) return { item, forced: isForced ? await type.force?.(item.value, true) : undefined }
    const { keys, deletions } = type
    if (deletions === undefined) return this.#finish(item, undefined, () => this.#delete(item))
    const place = { catalog: this.#catalog, clock: this.#context.clock }
    const deletion = await beginDeletion(place, { keys, deletions }, item)
    const giveUp = () => deletion.giveUp().catch(() => {}) // then it is as if this process had died
    try {
      if (!isForced) await this.#refuseUsed(item.value)
      const forced = isForced ? await type.force?.(item.value, false) : undefined
      const removed = await this.#finish(item, forced, deletion.finish)
      if (removed === undefined) await giveUp()
      return removed
    } catch (error) {
      await giveUp()
      throw error
    }
  }

  async #refuseUsed(resource: Resource): Promise<void> {
    const use = await this.type.inUse?.(resource)
    if (use !== undefined) throw new RefusedError("conflict", use)
  }

  async #finish(
    item: Item<Resource>,
    forced: Record<string, unknown> | undefined,
    remove: () => Promise<boolean>,
  ): Promise<Removed<Resource> | undefined> {
    await this.type.removing?.(item.value)
    if (!(await remove())) return undefined
    await this.type.removed?.(item.value)
    return { item, forced }
  }

  async #delete({ key, value, revision }: Item<Resource>): Promise<boolean> {
    const along = this.type.goesAlong?.(value) ?? []
    try {
      await this.#catalog.change([{ key, value: undefined, expected: revision }, ...along])
      return true
    } catch (error) {
      if (error instanceof ConflictError) return false
      throw error
    }
  }
}

/** The new revision; undefined where another write came first. */
export async function putUnlessChanged(
  catalog: Catalog,
  { key, revision }: Pick<Item<unknown>, "key" | "revision">,
  value: unknown,
): Promise<number | undefined> {
  try {
    return await catalog.put(key, value, revision)
  } catch (error) {
    if (error instanceof ConflictError) return undefined
    throw error
  }
}

function requirePrecondition(item: Item<unknown> | undefined, { precondition }: ChangeOptions): void {
  const fault = precondition?.(item?.revision)
  if (fault !== undefined) throw new RefusedError("precondition-failed", fault)
}

function alreadyExists(name: string, id: string): RefusedError {
  return new RefusedError("exists", `there is a ${name} ${JSON.stringify(id)} already`)
}

/** The body as an object. Throws RefusedError where it is something else. */
function bodyObject(body: unknown): Record<string, unknown> {
  if (body === undefined) return {}
  if (isObject(body)) return body
  const faults = createFaults()
  faults.add("", "the body must be a JSON object")
  faults.refuse()
  return {}
}

function readOnlyFaults(fields: Record<string, unknown>, readOnly: readonly string[]): Faults {
  const faults = createFaults()
  for (const name of readOnly) {
    if (Object.hasOwn(fields, name)) faults.add(name, "is set by the hub; leave it out")
  }
  return faults
}

function idFaults(fields: Record<string, unknown>, id: string, faults: Faults = createFaults()): Faults {
  if (fields.id !== id) faults.add("id", `cannot be changed; it is ${JSON.stringify(id)}`)
  return faults
}

function without(fields: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)))
}

function labelOf(labels: Labels, name: string): string | undefined {
  return Object.hasOwn(labels, name) ? labels[name] : undefined
}

function newId<Resource extends Stored>(context: ResourceContext, type: ResourceType<Resource>): string {
  return type.idPrefix === undefined ? "" : `${type.idPrefix}-${context.chance.id().toLowerCase()}`
}
