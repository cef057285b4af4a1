// The folders of src/ and the imports between them, which point one way: lab -> card -> queue -> link.

/// <reference types="vite/client" />

import { expect, test } from 'vitest';

const ROOMS = ['link', 'queue', 'card', 'lab']; // each may import itself and those before it; src/ itself may import all

const sources = import.meta.glob<string>('../src/**/*.ts', { query: '?raw', import: 'default', eager: true });

/** The folder below src/ of a file; empty: src/ itself. */
function roomOf(path: string): string {
  const [, room = ''] = /\/src\/([^/]+)\//.exec(path) ?? [];
  return room;
}

/** The files that a file imports, as paths. */
function importsOf(path: string, text: string): string[] {
  const relative = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']*)'/g)].map(([, name]) => name!);
  return relative.map(name => new URL(name, new URL(path, 'file:///labextension/tests/')).pathname);
}

test('imports point one way between the folders of src/', () => {
  const paths = Object.keys(sources);
  expect(new Set(paths.map(roomOf))).toEqual(new Set(['', ...ROOMS]));
  const rankOf = (path: string): number => (roomOf(path) === '' ? ROOMS.length : ROOMS.indexOf(roomOf(path)));
  const arrows = paths.flatMap(path => importsOf(path, sources[path]!).map(target => [path, target] as const));
  expect(arrows.length).toBeGreaterThan(100);
  const upwards = arrows.filter(([path, target]) => rankOf(target) > rankOf(path));
  expect(upwards.map(([path, target]) => `${path} imports ${target}`)).toEqual([]);
});

test('only the plugins import JupyterLab', () => {
  const importing = Object.keys(sources).filter(path => /from '@(?:jupyterlab|lumino)\//.test(sources[path]!));
  expect(importing.length).toBeGreaterThan(5);
  expect(new Set(importing.map(roomOf))).toEqual(new Set(['lab']));
});
