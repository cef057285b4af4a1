// Build of the widgets' files, which anywidget reads: one module and one style sheet for each widget. `--watch` builds
// again with each change of a source; `--demo` builds the page in demo/ instead.
import * as esbuild from 'esbuild';

const options = {
  entryPoints: [
    { in: 'src/widget.ts', out: 'queue' },
    { in: 'style/queue/index.css', out: 'queue' },
    { in: 'src/buttons.ts', out: 'buttons' },
    { in: 'style/buttons.css', out: 'buttons' }
  ],
  outdir: '../taskfc_ext/widget/static',
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: !process.argv.includes('--watch'),
  charset: 'utf8',
  logLevel: 'info'
};

if (process.argv.includes('--demo')) {
  options.entryPoints[0] = { in: 'demo/main.ts', out: 'main' };
  options.outdir = 'demo/dist';
  options.minify = false;
}

if (process.argv.includes('--watch')) {
  await (await esbuild.context(options)).watch();
} else {
  await esbuild.build(options);
}
