#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <shared_mutex>

#include "layer.h"

namespace lazuli {

/** The layers of the plane by number. */
class Layers {
 public:
  /** False when the number is taken. */
  bool add(std::shared_ptr<Layer> layer);
  /** Null when there is none. */
  std::shared_ptr<Layer> find(uint32_t number) const;
  std::shared_ptr<Layer> remove(uint32_t number);
  /** The layer with the smallest number above `number`, or null. */
  std::shared_ptr<Layer> next(uint32_t number) const;

 private:
  mutable std::shared_mutex mutex_;
  std::map<uint32_t, std::shared_ptr<Layer>> layers_;
};

}  // namespace lazuli
