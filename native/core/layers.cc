#include "layers.h"

#include <mutex>
#include <utility>

namespace lazuli {

bool Layers::add(std::shared_ptr<Layer> layer) {
  const std::unique_lock lock(mutex_);
  const uint32_t number = layer->number();
  return layers_.emplace(number, std::move(layer)).second;
}

std::shared_ptr<Layer> Layers::find(uint32_t number) const {
  const std::shared_lock lock(mutex_);
  const auto found = layers_.find(number);
  return found == layers_.end() ? nullptr : found->second;
}

std::shared_ptr<Layer> Layers::remove(uint32_t number) {
  const std::unique_lock lock(mutex_);
  const auto found = layers_.find(number);
  if (found == layers_.end()) return nullptr;
  std::shared_ptr<Layer> layer = std::move(found->second);
  layers_.erase(found);
  return layer;
}

std::shared_ptr<Layer> Layers::next(uint32_t number) const {
  const std::shared_lock lock(mutex_);
  const auto found = layers_.upper_bound(number);
  return found == layers_.end() ? nullptr : found->second;
}

}  // namespace lazuli
