import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

test('the areas of the status page reach back before a line below them', async () => {
	const { outputFiles } = await build({ entryPoints: [fileURLToPath(new URL('../page/stack.ts', import.meta.url))], format: 'esm', write: false });
	const { stack } = await import('data:text/javascript,' + encodeURIComponent(outputFiles[0].text));
	assert.deepEqual(stack([[null, 300, 300, 300], [null, null, null, 2], [null, null, 1, 1]]), [[null, 300, 301, 303], [null, 0, 1, 3], [null, 0, 1, 1]]);
	assert.deepEqual(stack([]), []);
});
