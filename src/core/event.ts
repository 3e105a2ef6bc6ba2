/** A context attribute's value: CloudEvents String (also URI, Timestamp, Binary text), Integer or Boolean. */
export type AttributeValue = string | number | boolean

/** All context attributes by name, `specversion` and extensions included. */
export type Attributes = Readonly<Record<string, AttributeValue>>

/**
 * How `data` reads in the JSON event format:
 * `json`, the bytes are a JSON text; `text`, UTF-8 that becomes a JSON string; `binary`, anything else (`data_base64`).
 */
export type DataKind = "none" | "json" | "text" | "binary"

/** What an event's creator already knows, so that the attributes need not be parsed to learn it. */
export interface EventIdentity {
  readonly id: string
  readonly source: string
  /** Whether it has extension attributes; absent: not known. */
  readonly extended?: boolean
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * A CloudEvents 1.0 event; immutable. `source` + `id` names the occurrence.
 *
 * Holds its attributes as an object, as one JSON object in UTF-8 (no newline in it), or both; each form is made from
 * the other when first asked for, so an event that only passes through is never parsed. `data` is the bytes as received.
 */
export class Event {
  readonly data: Uint8Array | undefined
  readonly dataKind: DataKind
  #attributes: Attributes | undefined
  #json: Uint8Array | undefined
  readonly #identity: EventIdentity | undefined

  private constructor(
    attributes: Attributes | undefined,
    json: Uint8Array | undefined,
    data: Uint8Array | undefined,
    dataKind: DataKind,
    identity: EventIdentity | undefined,
  ) {
    this.#attributes = attributes
    this.#json = json
    this.data = data
    this.dataKind = dataKind
    this.#identity = identity
  }

  /** From attributes that are known to be valid; `dataKind` defaults to `binary` where there is data. */
  static of(attributes: Attributes, data?: Uint8Array, dataKind: DataKind = data ? "binary" : "none"): Event {
    return new Event(attributes, undefined, data, dataKind, undefined)
  }

  /** From a JSON object of attributes that are known to be valid. */
  static fromJson(json: Uint8Array, data: Uint8Array | undefined, dataKind: DataKind, identity?: EventIdentity): Event {
    return new Event(undefined, json, data, dataKind, identity)
  }

  get attributes(): Attributes {
    this.#attributes ??= JSON.parse(decoder.decode(this.#json)) as Attributes
    return this.#attributes
  }

  /** The attributes as one JSON object, UTF-8, on one line. */
  get attributesJson(): Uint8Array {
    this.#json ??= encoder.encode(JSON.stringify(this.#attributes))
    return this.#json
  }

  get id(): string {
    return this.#identity?.id ?? (this.attributes.id as string)
  }

  get source(): string {
    return this.#identity?.source ?? (this.attributes.source as string)
  }

  /** False: it is known to have no extension attributes. */
  get mayBeExtended(): boolean {
    return this.#identity?.extended !== false
  }

  get type(): string {
    return this.attributes.type as string
  }

  /** One attribute's value by its name; undefined where the event has none. */
  attribute(name: string): AttributeValue | undefined {
    const attributes = this.attributes
    return Object.hasOwn(attributes, name) ? attributes[name] : undefined
  }
}
