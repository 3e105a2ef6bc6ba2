import type { TSchema } from "typebox"
import type { Catalog, Item } from "../core/catalog.ts"
import type { CatalogKeys } from "../core/catalog-keys.ts"
import { ConflictError } from "../core/errors.ts"
import type { Labels } from "../core/resources.ts"
import { checkRemovals, checkSchema } from "../resources/check-schema.ts"
import { createFaults, type Faults } from "../resources/faults.ts"
import { isObject, mergePatch } from "../resources/merge-patch.ts"
import type { ApiContext } from "./context.ts"
import { notFound, ProblemError } from "./errors.ts"
import { formatEtag } from "./etag.ts"
import { type Page, PageItems, parsePageToken } from "./paging.ts"
import { changedMeanwhile, requireMatch, requirePreconditions } from "./preconditions.ts"
import type { Share } from "./room.ts"
import { scan } from "./scan.ts"

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

/** All that the generic handlers need to know of one type of resource. */
export interface ResourceType<Resource extends Stored> {
  /** `trigger`: in ids of operations, and in messages. */
  readonly name: string
  /** Where the catalog has them. */
  readonly keys: CatalogKeys
  readonly plural: string
  readonly tag: string
  /** Before the random part of an id that the hub makes; absent: the caller has to name it. */
  readonly idPrefix?: string
  /** A body of POST and PUT. */
  readonly input: TSchema
  readonly output: TSchema
  /** The input of a resource that is there, where that says more. */
  inputOf?(resource: Resource): TSchema
  /** Members of an answer that the hub sets: PUT ignores them, so that what was read can be sent back. */
  readonly readOnly: readonly string[]
  /** The resource that a body asks for. Fields that `faults` already holds are of any type. */
  read(body: Record<string, unknown>, draft: Draft<Resource>): Promise<Resource>
  /** As JSON. `previous` is what was stored before a change, so that what is new can be shown the one time. */
  show(resource: Resource, previous: Resource | undefined): Record<string, unknown>
  /** What a read of one shows beyond that. */
  detail?(resource: Resource): Promise<Record<string, unknown>>
  /** How each of these fares at present, in their order: added to the `status` that a read shows. `alone`: one was asked for. */
  statuses?(resources: readonly Resource[], alone: boolean): Promise<readonly object[]>
  /** A resource that exists though nobody has stored it. */
  builtIn?(tenant: string, id: string): Resource | undefined
  /** Why it cannot be deleted; undefined when it can. */
  inUse?(resource: Resource): Promise<string | undefined>
  /** How it is deleted all the same. */
  readonly forced?: Forcing<Resource>
  /** Right before it is stored, nothing being wrong with it. */
  writing?(resource: Resource): Promise<void>
  changed?(resource: Resource, previous: Resource): Promise<void>
  removing?(resource: Resource): Promise<void>
  removed?(resource: Resource): Promise<void>
}

/** Deleting what is in use, where the caller insists. */
export interface Forcing<Resource> {
  /** Of the parameter that asks for it. */
  readonly description: string
  readonly output: TSchema
  /** Right before it is deleted; what it answers is told. With `dryRun` it changes nothing, and tells what would become of it. */
  run(resource: Resource, dryRun: boolean): Promise<Record<string, unknown>>
}

export interface ChangeOptions {
  readonly ifMatch?: string | undefined
  /** Of PUT alone. */
  readonly ifNoneMatch?: string | undefined
  readonly validateOnly?: boolean | undefined
  /** See ResourceType.forced. */
  readonly force?: boolean | undefined
}

/** A resource as it is answered. */
export interface Shown {
  readonly body: Record<string, unknown>
  /** Undefined for what was only validated. */
  readonly etag: string | undefined
  /** It was not there before. */
  readonly isNew?: true
}

export interface ListQuery {
  readonly tenant: string
  readonly pageSize: number
  readonly pageToken?: string | undefined
  /** All of them have to be there. */
  readonly labels: Labels
}

/** Makes of a resource what it is to be; throws ProblemError where it is not to be. */
export type Edit<Resource> = (resource: Resource) => Resource | Promise<Resource>

/** Creates, reads, lists, replaces, patches and deletes resources of one type. Failures are thrown as ProblemError. */
export interface ResourceStore<Resource extends Stored> {
  readonly type: ResourceType<Resource>
  create(tenant: string, body: unknown, options: ChangeOptions): Promise<Shown>
  get(tenant: string, id: string): Promise<Shown>
  list(query: ListQuery, share: Share): Promise<Page<Record<string, unknown>>>
  /** Makes it where it is not there. */
  replace(tenant: string, id: string, body: unknown, options: ChangeOptions): Promise<Shown>
  patch(tenant: string, id: string, body: unknown, options: ChangeOptions): Promise<Shown>
  /** A change that `edit` makes by itself; what it answers is stored as it is. */
  edit(tenant: string, id: string, options: ChangeOptions, edit: Edit<Resource>): Promise<Shown>
  /** Answers what was deleted, or what became of what needed it, where that was forced. */
  remove(tenant: string, id: string, options: ChangeOptions): Promise<Shown>
  /** The stored resource; throws ProblemError where there is none. */
  find(tenant: string, id: string): Promise<Item<Resource>>
}

/** How often a change begins anew because another came first, before it gives up. */
const triesMax = 8
const commonReadOnly: readonly string[] = ["tenant", "createdAt", "updatedAt", "etag"]

/** Whether a text from outside can be the id of something stored: what cannot is not looked for. */
export function mayBeId(text: string): boolean {
  return /^[\w.~-]{1,200}$/.test(text)
}

export function createResourceStore<Resource extends Stored>(
  context: ApiContext,
  type: ResourceType<Resource>,
): ResourceStore<Resource> {
  return new CatalogStore(context, type)
}

type Next<Resource> = (item: Item<Resource>) => Promise<Resource> | Resource

class CatalogStore<Resource extends Stored> implements ResourceStore<Resource> {
  readonly type: ResourceType<Resource>
  readonly #context: ApiContext
  readonly #catalog: Catalog
  readonly #readOnly: readonly string[]

  constructor(context: ApiContext, type: ResourceType<Resource>) {
    this.type = type
    this.#context = context
    this.#catalog = context.engine.catalog
    this.#readOnly = [...commonReadOnly, ...type.readOnly]
  }

  create(tenant: string, body: unknown, options: ChangeOptions): Promise<Shown> {
    const { type } = this
    return this.#context.inTurn(async () => {
      const fields = bodyObject(body)
      const id = typeof fields.id === "string" ? fields.id : newId(this.#context, type)
      const faults = readOnlyFaults(fields, this.#readOnly)
      const resource = await this.#read(fields, { tenant, id, previous: undefined, faults })
      const key = type.keys.of({ tenant, id })
      if ((await this.#catalog.get(key)) !== undefined) throw alreadyExists(type.name, id)
      const made = await this.#make(resource, options)
      if (made === undefined) throw alreadyExists(type.name, id)
      return made
    })
  }

  /** Stores what is not there yet; undefined where another write made it first. */
  async #make(resource: Resource, options: ChangeOptions): Promise<Shown | undefined> {
    const { type } = this
    if (options.validateOnly) return { ...this.#show(resource, undefined, resource), isNew: true }
    await type.writing?.(resource)
    const key = type.keys.of(resource)
    const revision = await putUnlessChanged(this.#catalog, { key, revision: 0 }, resource)
    return revision === undefined ? undefined : { ...this.#show(resource, revision, undefined), isNew: true }
  }

  async get(tenant: string, id: string): Promise<Shown> {
    const { value, revision } = await this.find(tenant, id)
    const shown = this.#show(value, revision, value)
    const [status] = (await this.type.statuses?.([value], true)) ?? []
    return { ...shown, body: { ...withStatus(shown.body, status), ...(await this.type.detail?.(value)) } }
  }

  async list({ tenant, pageSize, pageToken, labels }: ListQuery, share: Share): Promise<Page<Record<string, unknown>>> {
    const query = [tenant, this.type.plural, labels]
    const prefix = this.type.keys.ofTenant(tenant)
    const wanted = Object.entries(labels)
    const items = new PageItems<Record<string, unknown>>(pageSize, share)
    const from = parsePageToken(query, pageToken)
    const listed: Resource[] = []
    const take = ({ value, revision }: Item<Resource>): boolean => {
      if (!wanted.every(([name, text]) => labelOf(value.labels, name) === text)) return true
      const isTaken = items.add(this.#show(value, revision, value).body, value.id)
      if (isTaken) listed.push(value)
      return isTaken
    }
    await scan<Resource>(this.#context, prefix, take, from === undefined ? undefined : prefix + from)
    const page = items.page(query)
    const statuses = (await this.type.statuses?.(listed, false)) ?? []
    share.add(JSON.stringify(statuses).length)
    return { ...page, items: page.items.map((item, i) => withStatus(item, statuses[i])) }
  }

  replace(tenant: string, id: string, body: unknown, options: ChangeOptions): Promise<Shown> {
    const { type } = this
    const read = (previous: Resource | undefined) => {
      const fields = { id, ...bodyObject(body) }
      return this.#read(fields, { tenant, id, previous, faults: idFaults(fields, id) })
    }
    return this.#inTurns(`${type.name} ${id}`, async () => {
      const item = await this.#lookFor(tenant, id)
      requirePreconditions(type, id, item, options)
      if (item !== undefined) return this.#write(item, options, ({ value }) => read(value))
      return this.#make(await read(undefined), options)
    })
  }

  patch(tenant: string, id: string, body: unknown, options: ChangeOptions): Promise<Shown> {
    return this.#change(tenant, id, options, ({ value: previous }) => {
      const patch = bodyObject(body)
      const fields = mergePatch({ id, ...this.type.show(previous, previous) }, patch) as Record<string, unknown>
      const faults = idFaults(fields, id, readOnlyFaults(patch, this.#readOnly))
      checkRemovals(this.type.inputOf?.(previous) ?? this.type.input, without(patch, this.#readOnly), faults)
      return this.#read(fields, { tenant, id, previous, faults })
    })
  }

  edit(tenant: string, id: string, options: ChangeOptions, edit: Edit<Resource>): Promise<Shown> {
    return this.#change(tenant, id, options, (item) => edit(item.value))
  }

  remove(tenant: string, id: string, options: ChangeOptions): Promise<Shown> {
    return this.#context.inTurn(() => this.#remove(tenant, id, options))
  }

  async find(tenant: string, id: string): Promise<Item<Resource>> {
    const { type } = this
    const item = await this.#lookFor(tenant, id)
    if (item !== undefined) return item
    throw notFound(`there is no ${type.name} ${JSON.stringify(id)}; GET /v1/${type.plural} lists what there is`)
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

  #change(tenant: string, id: string, options: ChangeOptions, next: Next<Resource>): Promise<Shown> {
    const { type } = this
    return this.#inTurns(`${type.name} ${id}`, async () => {
      const item = await this.find(tenant, id)
      requireMatch(type, item, options.ifMatch)
      return this.#write(item, options, next)
    })
  }

  /** Tries a write until none came before it, which it tells by answering undefined. */
  #inTurns(what: string, write: () => Promise<Shown | undefined>): Promise<Shown> {
    return this.#context.inTurn(async () => {
      for (let tries = 0; tries < triesMax; tries++) {
        const shown = await write()
        if (shown !== undefined) return shown
      }
      throw new ProblemError("conflict", `others keep changing ${what}; try again`)
    })
  }

  /** Stores what `next` makes of an item; undefined where another write came first. */
  async #write(item: Item<Resource>, options: ChangeOptions, next: Next<Resource>): Promise<Shown | undefined> {
    const { type } = this
    const resource = { ...(await next(item)), updatedAt: this.#context.clock.now() }
    if (options.validateOnly) return this.#show(resource, undefined, resource)
    await type.writing?.(resource)
    const revision = await putUnlessChanged(this.#catalog, item, resource)
    if (revision === undefined) return undefined
    await type.changed?.(resource, item.value)
    return this.#show(resource, revision, item.value)
  }

  async #remove(tenant: string, id: string, options: ChangeOptions): Promise<Shown> {
    const { type } = this
    const item = await this.find(tenant, id)
    requireMatch(type, item, options.ifMatch)
    const forced = options.force ? type.forced : undefined
    const use = forced ? undefined : await type.inUse?.(item.value)
    if (use !== undefined) throw new ProblemError("conflict", use)
    const shown = this.#show(item.value, item.revision, item.value)
    const isTrial = options.validateOnly === true
    const told = await forced?.run(item.value, isTrial)
    if (isTrial) return told === undefined ? shown : { body: told, etag: undefined }
    await type.removing?.(item.value)
    try {
      await this.#catalog.delete(item.key, options.ifMatch === undefined ? undefined : item.revision)
    } catch (error) {
      if (error instanceof ConflictError) throw changedMeanwhile(type.name, id)
      throw error
    }
    await type.removed?.(item.value)
    return told === undefined ? shown : { body: told, etag: undefined }
  }

  #show(resource: Resource, revision: number | undefined, previous: Resource | undefined): Shown {
    const { id, tenant, createdAt, updatedAt } = resource
    const etag = revision === undefined ? undefined : formatEtag(revision)
    const times = { createdAt: new Date(createdAt).toISOString(), updatedAt: new Date(updatedAt).toISOString() }
    return { etag, body: { id, tenant, ...this.type.show(resource, previous), ...times, ...(etag && { etag }) } }
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

function withStatus(body: Record<string, unknown>, status: object | undefined): Record<string, unknown> {
  return status === undefined ? body : { ...body, status: { ...(body.status as object | undefined), ...status } }
}

function alreadyExists(name: string, id: string): ProblemError {
  return new ProblemError(
    "already-exists",
    `there is a ${name} ${JSON.stringify(id)} already; choose another id, or PUT it`,
  )
}

/** The body as an object. Throws ProblemError where it is something else. */
export function bodyObject(body: unknown): Record<string, unknown> {
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

function newId<Resource extends Stored>(context: ApiContext, type: ResourceType<Resource>): string {
  return type.idPrefix === undefined ? "" : `${type.idPrefix}-${context.chance.id().toLowerCase()}`
}
