import type { Comet, Options } from './types.js';
export type * from './types.js';
/**
 * Follows channels of the server whose comet directive answers at that address:
 *
 *	const live = comet('/comet');
 *	live.on('orders', (event) => console.log(event.data));
 */
export declare function comet(url?: string, options?: Options): Comet;
export default comet;
