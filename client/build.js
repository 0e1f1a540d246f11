// Builds the library and the status page into the directory that is named: node build.js dist
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const [out = join(here, 'dist')] = process.argv.slice(2);
const banner = { js: '/* caddy-comet, Apache 2.0 */' };
// Private fields of Line that have no namesake outside get short names.
const mangleProps = /^(ways|worked|strikes|tries|probing|renewed|resting|running|wanted|backoff|anew|probed|session|track|joined|members|lived|network|during|renew|deny|drop|sleep|talk|used|wake|remember|probe|pace|until|step|look|heard)$/;
const common = { absWorkingDir: here, bundle: true, minify: true, mangleProps, banner, logLevel: 'warning' };
const tsc = (...args) => execFileSync(process.execPath, [join(here, 'node_modules/typescript/bin/tsc'), ...args], { stdio: 'inherit' });

mkdirSync(out, { recursive: true });
// Browsers of 2018 and later; what is older has comet.legacy.js.
await build({ ...common, entryPoints: ['src/global.ts'], outfile: join(out, 'comet.js'), format: 'iife', target: 'es2018' });
await build({ ...common, entryPoints: ['src/comet.ts'], outfile: join(out, 'comet.esm.js'), format: 'esm', target: 'es2018' });
await build({ ...common, entryPoints: ['src/legacy.js'], outfile: join(out, 'comet.legacy.js'), bundle: false, target: 'es5' });

const types = mkdtempSync(join(tmpdir(), 'comet-types-'));
try {
	tsc('-p', here, '--declaration', '--emitDeclarationOnly', '--outDir', types);
	for (const name of ['comet.d.ts', 'types.d.ts']) {
		cpSync(join(types, name), join(out, name));
	}
} finally {
	rmSync(types, { recursive: true });
}

// The status page, with uPlot and its licence in the one script.
tsc('-p', join(here, 'page'));
const licence = readFileSync(join(here, 'node_modules/uplot/LICENSE'), 'utf8').trim();
const page = { ...common, mangleProps: undefined, banner: { js: `/* caddy-comet, Apache 2.0. It contains uPlot:\n\n${licence}\n*/` }, target: 'es2022' };
await build({ ...page, entryPoints: ['page/page.ts'], outfile: join(out, 'page/page.js'), format: 'iife' });
await build({ ...page, entryPoints: ['page/style.css'], outfile: join(out, 'page/page.css'), banner: { css: page.banner.js } });
for (const name of ['index.html', 'icon.svg']) {
	cpSync(join(here, 'page', name), join(out, 'page', name));
}
