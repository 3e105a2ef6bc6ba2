declare module "fs-native-extensions" {
  /** Whether the file could be locked, for the whole of it; until its descriptor is closed. */
  export function tryLock(fd: number, options?: { readonly shared?: boolean }): boolean
}
