//! The configuration profile by which iPhone and iPad install a certificate authority.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::identity::Identity;

/// Everything in it is ours: letters, digits and dashes, and Base64.
pub(super) fn of(identity: &Identity<'_>) -> String {
    let name = identity.name();
    let certificate = STANDARD.encode(&identity.der);
    let (profile, payload) = (identity.uuid("profile"), identity.uuid("certificate"));
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>PayloadType</key><string>Configuration</string>
  <key>PayloadVersion</key><integer>1</integer>
  <key>PayloadIdentifier</key><string>thon.{name}</string>
  <key>PayloadUUID</key><string>{profile}</string>
  <key>PayloadDisplayName</key><string>Hackathon certificate {name}</string>
  <key>PayloadDescription</key><string>Lets this device trust the hackathon's own server. Remove it after the event.</string>
  <key>PayloadOrganization</key><string>THON</string>
  <key>PayloadRemovalDisallowed</key><false/>
  <key>PayloadContent</key>
  <array>
    <dict>
      <key>PayloadType</key><string>com.apple.security.root</string>
      <key>PayloadVersion</key><integer>1</integer>
      <key>PayloadIdentifier</key><string>thon.{name}.certificate</string>
      <key>PayloadUUID</key><string>{payload}</string>
      <key>PayloadDisplayName</key><string>Hackathon certificate {name}</string>
      <key>PayloadCertificateFileName</key><string>{name}.cer</string>
      <key>PayloadContent</key>
      <data>{certificate}</data>
    </dict>
  </array>
</dict>
</plist>
"#
    )
}
