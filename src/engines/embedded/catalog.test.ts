import { catalogConformance } from "../conformance/catalog.ts"
import { directoryHarness } from "./bed.fixture.ts"
import { openCatalog } from "./catalog.ts"
import { openLmdbStore } from "./store-lmdb.ts"

catalogConformance("embedded", () =>
  directoryHarness(async (directory) => {
    const store = openLmdbStore(directory)
    const catalog = await openCatalog({ store })
    const abandon = () => store.close()
    return {
      opened: { catalog },
      abandon,
      written: () => store.write([]),
      close: async () => {
        await catalog.close()
        await abandon()
      },
    }
  }),
)
