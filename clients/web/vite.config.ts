// SPDX-License-Identifier: MIT
//
// How the live page is built and served while it is developed.
// Invariant: the built page holds no inline script or style and asks for nothing but its own
// origin, so it runs under the policy written into it here.

import { defineConfig, type Plugin } from 'vite';

const gateway = process.env['TALUS_GATEWAY'] ?? 'http://127.0.0.1:3000';

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
].join('; ');

// Only in the build: the development server injects styles inline.
function contentSecurityPolicy(): Plugin {
  return {
    name: 'content-security-policy',
    apply: 'build',
    transformIndexHtml: () => [
      {
        tag: 'meta',
        attrs: { 'http-equiv': 'Content-Security-Policy', content: policy },
        injectTo: 'head-prepend',
      },
    ],
  };
}

export default defineConfig({
  base: './',
  plugins: [contentSecurityPolicy()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    host: '127.0.0.1',
    proxy: { '/socket.io': { target: gateway, ws: true } },
  },
});
