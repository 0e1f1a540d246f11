import { comet } from './comet.js';

(globalThis as any).comet = comet;
