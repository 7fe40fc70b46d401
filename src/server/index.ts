/** A nats-server of one's own: found or installed, configured, started, watched; and who may use it. */
export { reachable, type ServerFacts, serverFacts } from './admin.ts'
export { createToken, endToken, foreignToken, type NewToken, openCluster, type Wanted } from './cluster.ts'
export { watchExpiry } from './expiry.ts'
export { type FoundServer, findServer } from './find.ts'
export { defaultDataDir } from './home.ts'
export { installServer } from './install.ts'
export { ownerOf, takeOwnership } from './owner.ts'
export { type RunningServer, type ServerEvent, type StartOptions, startServer } from './process.ts'
export {
  type ClusterState,
  filesOf,
  makePrivate,
  mustReadState,
  readState,
  type Settings,
  type Token,
} from './state.ts'
export { hostAndPort, linkOf, linkTo, statusOf, type TokenStatus } from './tokens.ts'
