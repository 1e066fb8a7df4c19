{
  # zlib and OpenSSL are Node's own: its binary exports both and its headers come with it, so that the addon holds no
  # second copy. Linked with -lz or -lcrypto it would get Node's functions all the same, because a symbol is looked up in
  # the executable before the libraries of an addon, but it would have been compiled against other headers.
  # zstd is Debian's: Node 20 has none to offer. Where a newer Node exports one, all our calls go there together, and
  # they are of zstd's stable interface. -z now makes a missing symbol an error of loading, not of the first read.
  'targets': [
    {
      'target_name': 'lazuli',
      'sources': ['<!@(ls native/core/*.cc native/binding/*.cc)'],
      'include_dirs': ['<!(node -p "require(\'node-addon-api\').include_dir")'],
      'defines': [
        'NAPI_VERSION=9', 'NAPI_DISABLE_CPP_EXCEPTIONS', 'NODE_ADDON_API_DISABLE_DEPRECATED',
        # A worker may be ended while one of its frames is coded: then nothing can be thrown, and the process goes on.
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS', '_FILE_OFFSET_BITS=64',
      ],
      'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': [
        '-std=c++20', '-fexceptions', '-frtti', '-O2', '-g1',
        '-Wall', '-Wextra', '-Werror', '-fvisibility=hidden', '-fstack-protector-strong',
      ],
      'ldflags': ['-Wl,-z,now', '-Wl,-z,relro', '-Wl,--no-undefined-version'],
      'libraries': ['-lzstd'],
    },
  ],
}
