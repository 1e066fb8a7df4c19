#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>

namespace lazuli {

using Digest = std::array<uint8_t, 32>;

/** One SHA-256 in progress. */
class Sha256 {
 public:
  Sha256();
  void update(std::span<const uint8_t> bytes);
  /** Ends it; nothing may follow. */
  Digest finish();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

Digest sha256(std::span<const uint8_t> bytes);

}  // namespace lazuli
