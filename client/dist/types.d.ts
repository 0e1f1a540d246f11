/** What was published, as the server says it. */
export interface CometEvent<Data = any> {
    channel: string;
    /** The event's place in the hub: opaque, and a good value for `since`. */
    cursor: string;
    /** When the server took it, RFC 3339. */
    time: string;
    /** What its publisher calls it (`Comet-Type`); `message` by default. */
    type: string;
    /** JSON as it is where it was published as JSON, else a string; `''` for a touch. */
    data: Data;
    /** `base64` where the data is not UTF-8. */
    encoding?: 'base64';
}
/** Events are lost: the page reads its state anew. */
export interface Gap {
    /** The channels that may have lost some. */
    channels: string[];
    /** From here on nothing is lost. */
    cursor: string;
}
/** Channels that this visitor may not follow, as the server says. The others go on. */
export interface Denied {
    channels: string[];
    /** Why, if it was said. */
    error?: string;
}
export type Transport = 'websocket' | 'sse' | 'stream' | 'poll' | 'jsonp';
/**
 * - `connecting`: a request is on its way;
 * - `open`: events arrive as they happen;
 * - `waiting`: not connected and nothing on its way, but it will be by itself (the server or the network is away, every page
 *   is hidden, or there is no channel to follow);
 * - `closed`: by `close()`, for ever.
 */
export type State = 'connecting' | 'open' | 'waiting' | 'closed';
export interface StateChange {
    state: State;
    /** How events arrive, or are tried to. */
    transport?: Transport;
    /** Why it waits. */
    error?: string;
    /** What the server answered, where it refuses: 401 and 403 say that this visitor may not listen. */
    status?: number;
}
export interface Options {
    /** Where to begin: a cursor for all channels or one for each, or `all` that is kept. Default: now. */
    since?: string | {
        [channel: string]: string;
    };
    /** Which ways to try, the best first. Default: all that the browser has. */
    transports?: Transport[];
    /** Lets scripts of the server run where nothing else gets through. Default: false. */
    jsonp?: boolean;
    /** The visitor's token, or a function that gets one: called first, and after the server refused the last. Default: none. */
    token?: string | (() => string | Promise<string>);
    /** Shows the visitor's cookies to a server of another site, too. Default: false. */
    credentials?: boolean;
    /** One connection for all tabs. Default: true. */
    share?: boolean;
    /** After how many seconds in which no tab was seen the connection rests; 0 for never. Default: 300. */
    pause?: number;
}
export interface Comet {
    /** Follows a channel; the answer ends that. Throws where there can be no channel of that name. `since` counts where nobody here follows the channel yet. */
    on<Data = any>(channel: string, handler: (event: CometEvent<Data>) => void, since?: string): () => void;
    on(name: '*state', handler: (change: StateChange) => void): () => void;
    on(name: '*gap', handler: (gap: Gap) => void): () => void;
    on(name: '*denied', handler: (denied: Denied) => void): () => void;
    /** The position in each channel, for another page's `since`. */
    readonly since: {
        [channel: string]: string;
    };
    readonly state: State;
    readonly transport: Transport | undefined;
    /** Ends it all. */
    close(): void;
}
/** A position: a cursor, `all`, or undefined for now, which no server has said yet. */
export type Position = string | undefined;
/** What comes from the server, of every transport. */
export interface Message extends Partial<CometEvent> {
    cursor: string;
    gap?: boolean;
    /** Milliseconds. */
    retry?: number;
    subscribed?: string[];
    unsubscribed?: string[];
    /** These are not followed, and why; the cursor is empty then. */
    denied?: string[];
    error?: string;
    /** The channels that a position or gap is of. Default: all. */
    channels?: string[];
}
