//! What the store keeps: whatever was answered is durable, nothing is ever half there, and neither a
//! crash, a full disk, an older version nor a broken record loses anything.

mod crash;
mod full_disk;
mod records;
mod unreadable;
mod upgrade;
