export type { Destination, DestinationOptions, EndpointOptions, Place, Source } from './endpoint.js';
export { openDestination, openSource } from './open.js';
export { parsePlace } from './place.js';
